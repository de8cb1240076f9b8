from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from celeriac.cli.options import TWINS, environment_with, settings_with
from celeriac.errors import SettingsError
from celeriac.settings import Settings


def test_every_option_stands_for_a_setting_that_exists() -> None:
    variables = {each.metadata["variable"] for each in fields(Settings)}

    assert set(TWINS.values()) <= variables


def test_an_option_wins_over_its_twin_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PORT", "1111")
    monkeypatch.setenv("CELERIAC_DATA_DIR", "/somewhere")

    settings = settings_with({"port": "2222", "data": None})

    assert settings.port == 2222
    assert settings.data_dir == Path("/somewhere")


def test_options_are_handed_on_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_HOST", "127.0.0.1")

    environment = environment_with({"port": "2222", "host": None})

    assert environment["CELERIAC_PORT"] == "2222"
    assert environment["CELERIAC_HOST"] == "127.0.0.1"


def test_a_broken_option_is_called_by_its_own_name() -> None:
    with pytest.raises(SettingsError) as refused:
        settings_with({"flower_port": "x"})

    assert refused.value.name == "--flower-port"


def test_a_broken_variable_is_called_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PORT", "x")

    with pytest.raises(SettingsError) as refused:
        settings_with({"flower_port": "1"})

    assert refused.value.name == "CELERIAC_PORT"


def test_a_secret_option_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERIAC_BROKER_URL", raising=False)

    with pytest.raises(SettingsError) as refused:
        settings_with({"broker_url": "http://user:canary@host"})

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", "nonsense"),
        ("broker_url", "redis://localhost:99999"),
        ("broker_url", "redis://localhost:port"),
        ("broker_url", "sentinel://one:26379;sentinel://two:26379"),
        ("queues", " , "),
    ],
)
def test_a_value_that_would_fail_later_is_refused_at_once(name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        settings_with({name: value})


@pytest.mark.parametrize(
    "url", ["redis://:secret@localhost:6379/1", "sentinel://one;sentinel://two/0?master_name=main"]
)
def test_a_broker_is_named_as_celery_names_it(url: str) -> None:
    assert settings_with({"broker_url": url}).broker_url == url


def test_no_lease_ends_at_once() -> None:
    with pytest.raises(SettingsError):
        Settings.from_environment({"CELERIAC_LEASE_SECONDS": "0"})
