from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.engine.identity import is_gone, machine_id, new_worker, process_started
from tests.fakes import make_worker


def _worker_of(pid: int, **changes: Any) -> Any:
    facts = {"pid": pid, "process_started": process_started(pid), "machine": machine_id()}
    return make_worker(**{**facts, **changes})


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process of this one's that waits to be killed."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_process_that_runs_is_not_gone(sleeper: int) -> None:
    assert not is_gone(_worker_of(sleeper), machine=machine_id())


def test_a_process_that_was_killed_is_gone(sleeper: int) -> None:
    worker = _worker_of(sleeper)
    _kill(sleeper)
    os.waitpid(sleeper, 0)

    assert is_gone(worker, machine=machine_id())


def test_a_process_that_nobody_has_buried_is_gone(sleeper: int) -> None:
    worker = _worker_of(sleeper)
    _kill(sleeper)

    assert is_gone(worker, machine=machine_id())


def test_another_process_under_the_same_number_is_not_the_worker(sleeper: int) -> None:
    worker = _worker_of(sleeper, process_started="1")

    assert is_gone(worker, machine=machine_id())


def test_nobody_can_tell_of_a_process_on_another_machine(sleeper: int) -> None:
    worker = _worker_of(sleeper, machine="another", process_started="1")

    assert not is_gone(worker, machine=machine_id())


def test_nobody_can_tell_where_a_machine_does_not_say_when_processes_began() -> None:
    worker = _worker_of(os.getpid(), process_started="")

    assert not is_gone(worker, machine=machine_id())


def test_a_process_that_never_was_began_at_no_time() -> None:
    assert process_started(2**22 + 1) == ""


def test_a_machine_has_one_word_for_itself() -> None:
    assert machine_id() == machine_id() != ""


def test_a_worker_tells_of_its_own_process_and_has_a_new_id_each_time() -> None:
    facts: dict[str, Any] = {"name": "a@b", "queues": ("default",), "pool": "solo", "slots": 1}

    first, second = new_worker(**facts), new_worker(**facts)

    assert first.pid == os.getpid()
    assert first.process_started == process_started(os.getpid()) != ""
    assert first.id != second.id
