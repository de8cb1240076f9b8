from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.user import Role, User
from celeriac.core.worker import Worker
from celeriac.errors import SettingsError
from celeriac.settings import Settings
from celeriac.up.programs import Surroundings, environment_for, find_joined, web_url
from celeriac.up.project import Project
from celeriac.up.start import (
    broker_line,
    refuse_broker,
)
from celeriac.up.welcome import ledger_words, refuse_without_admin
from tests.servers.ports import free_port

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)


def make_user(role: Role) -> User:
    return User(
        name=role.value,
        role=role,
        password_hash="",
        token_version=1,
        is_disabled=False,
        created_at=MOMENT,
    )


def make_worker(**changes: Any) -> Worker:
    facts: dict[str, Any] = {
        "id": "a",
        "name": "celeriac@host",
        "queues": ("default",),
        "machine": "m",
        "pid": 7,
        "process_started": "1",
        "pool": "processes",
        "slots": 2,
        "sequence": 1,
        "started_at": MOMENT,
        "heartbeat_at": MOMENT,
    }
    return Worker(**{**facts, **changes})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////data/ledger.db", "/data/ledger.db"),
        ("postgresql://me:canary@host/name", "postgresql://me:***@host/name"),
    ],
)
def test_a_ledger_is_told_without_its_password(url: str, words: str) -> None:
    assert ledger_words(url) == words


def test_programs_learn_where_everything_is(tmp_path: Path) -> None:
    around = Surroundings(
        settings=Settings(data_dir=tmp_path),
        environment={"CELERIAC_PORT": "1"},
        project=Project(folder=tmp_path, app="proj.celery:app", is_edited=False),
        folder=tmp_path / "up",
    )

    environment = environment_for(around, broker_url="redis://there")

    assert environment["CELERIAC_APP"] == "proj.celery:app"
    assert environment["CELERIAC_BROKER_URL"] == "redis://there"
    assert environment["CELERIAC_DATA_DIR"] == str(tmp_path)
    assert environment["CELERIAC_PORT"] == "1"


def test_a_broker_inside_one_process_is_refused_for_several() -> None:
    with pytest.raises(SettingsError, match="CELERIAC_BROKER_URL is 'memory://'"):
        refuse_broker("memory://", is_single=False, is_given=True)


def test_a_broker_outside_is_refused_for_one_process() -> None:
    with pytest.raises(SettingsError, match="--single-process") as refused:
        refuse_broker("redis://:canary@there", is_single=True, is_given=True)

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "is_single", "is_given"),
    [
        ("redis://localhost", False, True),
        ("amqp://localhost", False, True),
        ("sentinel://localhost", False, True),
        # Nobody named one: this is the default.
        ("redis://localhost:6379", True, False),
        ("memory://", True, True),
    ],
)
def test_other_brokers_are_taken(url: str, *, is_single: bool, is_given: bool) -> None:
    refuse_broker(url, is_single=is_single, is_given=is_given)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_told_and_is_no_error(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert broker_line(f"{scheme}://127.0.0.1:{port}/0").startswith("! broker")


def test_a_broker_of_another_kind_is_not_asked() -> None:
    line = broker_line("memory://user:canary@localhost/name")

    assert line.startswith("✓ broker     memory://user:***")


def test_a_primary_that_no_sentinel_knows_is_told() -> None:
    url = f"sentinel://ann:canary@127.0.0.1:{free_port()}/0?master_name=main"

    line = broker_line(url)

    assert line.startswith("! broker     sentinel://ann:***@127.0.0.1:")
    assert "no sentinel that answers knows a primary 'main'; tasks wait" in line


@pytest.mark.parametrize("roles", [(), (Role.VIEWER, Role.OPERATOR)])
def test_other_machines_are_not_served_before_there_is_an_admin(roles: tuple[Role, ...]) -> None:
    with pytest.raises(SettingsError, match=r"until .* has made an admin"):
        refuse_without_admin("0.0.0.0", [make_user(role) for role in roles])


def test_other_machines_are_served_when_there_is_an_admin() -> None:
    refuse_without_admin("0.0.0.0", [make_user(Role.ADMIN)])


@pytest.mark.parametrize(
    ("changes", "is_ours"),
    [
        ({}, True),
        # An earlier start of the same worker, not reaped yet.
        ({"pid": 8}, False),
        ({"name": "celeriac@other"}, False),
    ],
)
def test_a_worker_is_ready_when_this_very_start_has_joined(
    changes: dict[str, Any], *, is_ours: bool
) -> None:
    workers = [make_worker(**changes)]

    found = find_joined(workers, pid=7, node="celeriac@host")

    assert (found is not None) is is_ours


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_url_of_the_service_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert web_url(host, 8000) == url
