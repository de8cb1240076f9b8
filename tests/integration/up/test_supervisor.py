from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.errors import ProgramFailedError
from celeriac.up.children import Program
from celeriac.up.supervisor import StopRequestedError, Supervisor
from tests.servers.processes import is_alive, wait_until

SLEEPER = "import time; print('WARNING: awake', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
)
# Its own child would go on for ten minutes.
PARENT = (
    "import subprocess, sys, pathlib;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "pathlib.Path(sys.argv[1]).write_text(str(child.pid)); child.wait()"
)
# Runs the first time, and fails from then on.
ONCE = (
    "import pathlib, sys, time; note = pathlib.Path(sys.argv[1]);"
    "sys.exit(3) if note.exists() else note.touch(); time.sleep(600)"
)
# Tells which of some files are open in it, by their numbers.
HEIR = (
    "import os, pathlib, sys, time;"
    "mine = {each for each in os.listdir('/dev/fd')};"
    "found = ' '.join(each for each in sys.argv[2:] if each in mine);"
    "pathlib.Path(sys.argv[1]).write_text(found); time.sleep(600)"
)
FAILING = "import sys; print('cannot find my things'); sys.exit(3)"


class Stage:
    """A supervisor, what it said, and the programs made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.pids: dict[str, list[int]] = {}
        self.supervisor = Supervisor(self.said.append)

    def program(self, name: str, code: str, *arguments: str, **changes: Any) -> Program:
        """Return a program that is ready as soon as it runs."""

        def find_ready(pid: int) -> str | None:
            self.pids.setdefault(name, []).append(pid)
            return "here"

        facts: dict[str, Any] = {
            "name": name,
            "command": (sys.executable, "-c", code, *arguments),
            "environment": os.environ,
            "folder": self.folder,
            "log": self.folder / f"{name}.log",
            "find_ready": find_ready,
            "grace": timedelta(seconds=5),
        }
        return Program(**{**facts, **changes})

    def start(self, programs: Sequence[Program]) -> None:
        """Start programs and wait until they are ready."""
        self.supervisor.start(programs)
        self.supervisor.wait_until_ready()

    def run_until(self, condition: Any) -> None:
        """Run the supervisor until something is true, then press Ctrl-C."""

        def press() -> None:
            try:
                wait_until(condition, "the condition")
            finally:
                os.kill(os.getpid(), signal.SIGINT)

        finger = threading.Thread(target=press)
        finger.start()
        self.supervisor.run()
        finger.join()

    def text(self) -> str:
        """Return everything it said."""
        return "\n".join(self.said)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    with stage.supervisor.listening():
        yield stage
        stage.supervisor.stop()


def test_a_program_that_is_ready_is_told_and_its_warnings_are_shown(stage: Stage) -> None:
    stage.start([stage.program("one", SLEEPER)])

    stage.run_until(lambda: "awake" in stage.text())

    assert "✓ one" in stage.text()


def test_ctrl_c_ends_every_program(stage: Stage) -> None:
    programs = [stage.program("one", SLEEPER), stage.program("two", SLEEPER)]
    stage.start(programs)

    stage.run_until(lambda: True)
    stage.supervisor.stop()

    assert not any(is_alive(pid) for pids in stage.pids.values() for pid in pids)


def test_a_program_that_was_killed_is_started_again_and_it_is_told(stage: Stage) -> None:
    stage.start([stage.program("one", SLEEPER)])
    first = stage.pids["one"][0]

    os.kill(first, signal.SIGKILL)
    stage.run_until(lambda: stage.pids["one"][-1] != first)

    assert "one        ended with signal 9" in stage.text()
    assert "starting again in 1 s" in stage.text()


def test_a_program_that_is_asked_to_is_started_again_in_order(stage: Stage) -> None:
    stage.start([stage.program("one", SLEEPER), stage.program("two", SLEEPER)])
    first, other = stage.pids["one"][0], stage.pids["two"][0]

    stage.supervisor.restart({"one"})
    stage.run_until(lambda: stage.pids["one"][-1] != first)

    assert not is_alive(first)
    assert is_alive(other)
    assert "ended with" not in stage.text()
    assert stage.text().count("✓ one") == 2


def test_a_program_inherits_what_it_is_given_and_nothing_else(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given, socket.create_server(("", 0)) as other:
        note = stage.folder / "open"
        numbers = [str(each.fileno()) for each in (given, other)]
        stage.start([stage.program("heir", HEIR, str(note), *numbers, sockets=(given,))])
        wait_until(lambda: note.exists() and note.read_text(), "it has looked")

    assert note.read_text() == numbers[0]


def test_there_is_no_hope_once_a_program_ended_before_it_was_ready_and_there_was_before(
    stage: Stage,
) -> None:
    note = stage.folder / "was here"
    ready: list[int] = []
    told: list[str] = []

    def find_ready(pid: int) -> str | None:
        if not ready and note.exists():
            ready.append(pid)
        return "here" if pid in ready else None

    def tell() -> None:
        told.append(stage.text())

    once = stage.program("once", ONCE, str(note), find_ready=find_ready, when_hopeless=tell)
    stage.start([once])

    os.kill(ready[0], signal.SIGKILL)
    stage.run_until(lambda: told)

    assert "once       ended with signal 9" in told[0]
    assert "once       ended with exit code 3" in told[0]


def test_there_is_no_hope_for_a_program_that_takes_very_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.up.member._LONG_AWAY", timedelta(seconds=0.1))
    told: list[str] = []
    never = stage.program(
        "never", SLEEPER, find_ready=lambda _: None, when_hopeless=lambda: told.append("told")
    )

    stage.supervisor.start([never])
    assert told == []
    stage.run_until(lambda: told)


def test_a_program_that_will_not_end_for_a_restart_is_killed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.up.member.HURRIED", timedelta(seconds=0.2))
    note = stage.folder / "deaf"
    stage.start([stage.program("deaf", STUBBORN, str(note), grace=timedelta(seconds=0.2))])
    wait_until(note.exists, "it is deaf")
    first = stage.pids["deaf"][0]

    stage.supervisor.restart({"deaf"})
    stage.run_until(lambda: stage.pids["deaf"][-1] != first)

    assert not is_alive(first)


def test_what_a_killed_program_started_ends_with_it(stage: Stage) -> None:
    note = stage.folder / "grandchild"
    stage.start([stage.program("one", PARENT, str(note))])
    wait_until(lambda: note.exists() and note.read_text(), "the grandchild runs")
    grandchild = int(note.read_text())

    os.kill(stage.pids["one"][0], signal.SIGKILL)
    stage.run_until(lambda: not is_alive(grandchild))

    assert not is_alive(grandchild)


def test_a_program_that_never_gets_ready_gives_up_with_its_last_words(stage: Stage) -> None:
    failing = stage.program("web", FAILING, find_ready=lambda _pid: None)

    with pytest.raises(ProgramFailedError, match="the web ended with exit code 3") as failed:
        stage.start([failing])

    # It ended three times with the same words.
    assert stage.text().count("cannot find my things") == 1
    assert str(failing.log) in failed.value.fix


def test_a_program_whose_settings_are_broken_is_not_started_again(stage: Stage) -> None:
    refusing = stage.program("web", "import sys; sys.exit(2)", find_ready=lambda _pid: None)

    with pytest.raises(ProgramFailedError, match="the web ended with exit code 2"):
        stage.start([refusing])

    assert "starting again" not in stage.text()


def test_a_program_that_does_not_end_is_killed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.up.supervisor.HURRIED", timedelta(seconds=0.2))
    note = stage.folder / "deaf"
    deaf = stage.program("deaf", STUBBORN, str(note), grace=timedelta(seconds=0.2))
    stage.start([deaf])
    wait_until(note.exists, "it is deaf")

    stage.supervisor.stop()

    assert not is_alive(stage.pids["deaf"][0])


def test_a_signal_before_everything_is_ready_ends_the_start(stage: Stage) -> None:
    slow = stage.program("slow", SLEEPER, find_ready=lambda _pid: None)
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StopRequestedError):
        stage.start([slow])


def test_what_was_started_last_ends_first(stage: Stage) -> None:
    order = stage.folder / "order"
    code = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    with open(sys.argv[1], 'a') as file: file.write(sys.argv[2] + ' ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
        "time.sleep(600)"
    )
    for name in ("broker", "worker"):
        program = stage.program(name, code, str(order), name)
        stage.start([program])
        wait_until((stage.folder / name).exists, f"{name} listens")

    stage.supervisor.stop()

    assert order.read_text().split() == ["worker", "broker"]
