from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.errors import BrokerMissingError
from celeriac.up import broker
from celeriac.up.broker import configuration, find_binary, read_configuration, version_in


def test_a_configuration_binds_to_the_loopback_behind_a_password_and_keeps_nothing() -> None:
    lines = configuration(4321, "secret").splitlines()

    assert {"bind 127.0.0.1", "port 4321", "requirepass secret", 'save ""'} <= set(lines)
    assert "appendonly no" in lines


def test_a_configuration_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "broker.conf"
    path.write_text(configuration(4321, "secret"))

    assert read_configuration(path) == (4321, "secret")


@pytest.mark.parametrize("text", ["", "port 1", "port x\nrequirepass y", "nonsense"])
def test_a_configuration_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broker.conf"
    path.write_text(text)

    assert read_configuration(path) is None


def test_a_missing_configuration_is_none(tmp_path: Path) -> None:
    assert read_configuration(tmp_path / "broker.conf") is None


@pytest.mark.parametrize(
    ("facts", "version"),
    [
        ("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\nos:x", "Valkey 9.1.2"),
        ("redis_version:7.0.15\r\nos:x", "Redis 7.0.15"),
        ("", "Redis"),
    ],
)
def test_the_server_is_called_by_its_own_name_and_version(facts: str, version: str) -> None:
    assert version_in(facts) == version


def test_the_packaged_server_is_taken_first() -> None:
    assert find_binary({"PATH": ""}).name == "valkey-server"


def test_a_server_on_the_path_is_taken_when_there_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "_packaged_binary", lambda: None)
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)

    assert find_binary({"PATH": str(tmp_path)}) == server


def test_a_missing_server_is_told_with_the_command_that_installs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "_packaged_binary", lambda: None)

    with pytest.raises(BrokerMissingError) as refused:
        find_binary({"PATH": ""})

    assert "install" in refused.value.fix
    assert "CELERIAC_BROKER_URL" in refused.value.fix
