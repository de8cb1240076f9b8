from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from celeriac.engine.broker_facts import ask_broker
from celeriac.errors import BrokerUnavailableError
from celeriac.up.broker import EmbeddedBroker
from celeriac.up.children import Guardian
from celeriac.up.member import Member
from celeriac.up.start import broker_line
from celeriac.up.supervisor import Supervisor
from tests.servers.processes import wait_until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path, environment=os.environ)
    supervisor = Supervisor(lambda _line: None)
    supervisor.start([broker.program()])
    supervisor.wait_until_ready()
    yield broker
    supervisor.stop()


def test_a_broker_that_is_ready_answers_whoever_knows_its_url(broker: EmbeddedBroker) -> None:
    with redis.Redis.from_url(broker.url) as client:
        assert client.ping()
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.config_get("save") == {"save": ""}


def test_a_broker_of_somebody_else_is_told_masked(broker: EmbeddedBroker) -> None:
    line = broker_line(broker.url)

    assert line.startswith("✓ broker")
    assert broker.url.split(":")[2].partition("@")[0] not in line


def test_a_broker_that_lets_nobody_in_is_not_called_ready(broker: EmbeddedBroker) -> None:
    port = broker.url.rpartition(":")[2]

    line = broker_line(f"redis://:canary@127.0.0.1:{port}")

    assert line.startswith("! broker")
    assert "password in CELERIAC_BROKER_URL" in line
    assert "canary" not in line


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (signal.SIGTERM, ["Received SIGTERM scheduling shutdown..."]),
        (signal.SIGABRT, ["crashed by signal: 6, si_code: 0", "Killed by PID"]),
    ],
)
def test_of_a_broker_that_ended_only_that_is_told_which_says_why(
    tmp_path: Path, number: signal.Signals, why: list[str]
) -> None:
    said: list[str] = []
    guardian = Guardian()
    member = Member(
        EmbeddedBroker(tmp_path, environment=os.environ).program(), guardian, said.append
    )
    look_until(member, lambda: member.is_ready)
    ready = len(said)

    os.kill(server_pid(tmp_path), number)
    look_until(member, lambda: not member.is_ready)
    member.kill()
    guardian.close()

    *last_words, ended = said[ready:]
    assert "✗ broker     ended with" in ended
    assert len(last_words) == len(why), last_words
    assert all(words in line for words, line in zip(why, last_words, strict=True))


def look_until(member: Member, condition: Callable[[], bool]) -> None:
    """Have a program looked after until something is true."""

    def look() -> bool:
        member.look()
        return condition()

    wait_until(look, "the condition")


def server_pid(folder: Path) -> int:
    """Return the id of the server's process, as it says itself."""
    with redis.Redis.from_url((folder / "broker.url").read_text().strip()) as client:
        return int(client.info("server")["process_id"])


def test_a_broker_refuses_whoever_does_not_know_its_password(broker: EmbeddedBroker) -> None:
    port = int(broker.url.rpartition(":")[2].partition("/")[0])

    with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    for stranger in ("", ":wrong@"):
        with pytest.raises(BrokerUnavailableError) as refused:
            ask_broker(f"redis://{stranger}127.0.0.1:{port}/0")
        # Started it is already.
        assert "password in CELERIAC_BROKER_URL" in refused.value.fix


def test_the_files_that_hold_its_password_are_private(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    for name in ("broker.conf", "broker.url"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert (tmp_path / "broker.url").read_text().strip() == broker.url


def test_a_broker_that_an_earlier_start_left_behind_is_stopped(tmp_path: Path) -> None:
    orphan = EmbeddedBroker(tmp_path, environment=os.environ)
    program = orphan.program()
    program.prepare()
    with subprocess.Popen(program.command, stdout=subprocess.DEVNULL) as process:
        while program.find_ready(process.pid) is None:
            assert process.poll() is None

        was_there = EmbeddedBroker(tmp_path, environment=os.environ).stop_orphan()

        assert was_there
        assert process.wait(timeout=5) == 0


def test_a_stranger_on_the_port_of_an_earlier_broker_is_left_alone(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    old = (tmp_path / "broker.conf").read_text()
    password = broker.url.split(":")[2].partition("@")[0]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "broker.conf").write_text(old.replace(password, "another"))

    was_there = EmbeddedBroker(elsewhere, environment=os.environ).stop_orphan()

    assert not was_there
    with redis.Redis.from_url(broker.url) as client:
        assert client.ping()


def test_a_broker_that_ended_leaves_no_file_that_names_it(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    broker.forget()

    assert not (tmp_path / "broker.conf").exists()
    assert not (tmp_path / "broker.url").exists()
    assert not broker.stop_orphan()
