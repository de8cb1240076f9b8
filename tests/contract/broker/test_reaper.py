from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celeriac.core.state import TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.core.worker import Worker
from celeriac.engine.identity import machine_id, process_started
from celeriac.engine.pool.slots import SlotFile
from celeriac.engine.reaper import Reaper
from celeriac.ledger.open import Ledger
from tests.contract.broker.conftest import Monotonic
from tests.engines import make_arguments
from tests.fakes import make_new_worker
from tests.servers.valkey import ValkeyServer


class Hospital:
    """A ledger with workers that hold tasks."""

    def __init__(self, app: Celery, ledger: Ledger) -> None:
        self._app = app
        self.ledger = ledger

    def admit(self, *task_ids: str, **facts: Any) -> str:
        """Have a worker join and hold tasks."""
        worker = make_new_worker(**facts)
        self.ledger.leases.join(worker)
        self.ledger.tasks.insert(
            [NewTask(id=TaskId(each), name="add", arguments=make_arguments()) for each in task_ids]
        )
        claimed = self.ledger.leases.exchange(
            worker.id, outcomes=[], wanted=[TaskId(each) for each in task_ids], queues=["default"]
        ).claimed
        assert len(claimed) == len(task_ids)
        return worker.id

    def note_slots(self, worker_id: str, *task_ids: str) -> Path:
        """Write down what truly ran in a worker."""
        path: Path = self._app.celeriac.settings.data_dir / "slots" / worker_id
        slots = SlotFile(path)
        for number, each in enumerate(task_ids):
            slots.set(number, each)
        return path

    def state(self, task_id: str) -> tuple[TaskState, int]:
        """Return a task's state and how often its process died."""
        task = self.ledger.tasks.get(task_id)
        return task.state, task.crashes

    def watch(self, reaper: Reaper, clock: Monotonic, seconds: float) -> set[str]:
        """Have the reaper look twice a second for so long; return the queues it named."""
        named: set[str] = set()
        for _ in range(int(seconds * 2)):
            clock.advance(0.5)
            named |= reaper.reap(self.ledger)
        return named


HELD = (TaskState.RUNNING, 0)
GIVEN_BACK = (TaskState.QUEUED, 0)
CHARGED = (TaskState.QUEUED, 1)


@pytest.fixture
def hospital(app: Celery, ledger: Ledger) -> Hospital:
    return Hospital(app, ledger)


@pytest.fixture
def reaper(app: Celery, clock: Monotonic) -> Reaper:
    return Reaper(app.celeriac, clock)


@pytest.fixture
def dead() -> dict[str, Any]:
    """What a worker told of itself whose process was killed, on this machine."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    facts = {"pid": pid, "process_started": process_started(pid), "machine": machine_id()}
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return facts


def test_a_dead_process_of_this_machine_is_reaped_at_once(
    hospital: Hospital, reaper: Reaper, dead: dict[str, Any], valkey: ValkeyServer
) -> None:
    hospital.admit("a", **dead)

    queues = reaper.reap(hospital.ledger)

    assert queues == {"default"}
    assert hospital.state("a") == CHARGED
    assert hospital.ledger.leases.workers() == ()
    assert valkey.client().llen("default\x06\x163") == 1


def test_only_what_truly_ran_is_charged_with_the_death(
    hospital: Hospital, reaper: Reaper, dead: dict[str, Any]
) -> None:
    worker_id = hospital.admit("a", "b", **dead)
    path = hospital.note_slots(worker_id, "a")

    reaper.reap(hospital.ledger)

    assert hospital.state("a") == CHARGED
    assert hospital.state("b") == GIVEN_BACK
    assert not path.exists()


def test_a_worker_that_lives_on_this_machine_is_left_alone(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    pid = os.getpid()
    hospital.admit("a", pid=pid, process_started=process_started(pid), machine=machine_id())

    hospital.watch(reaper, clock, 14.0)

    assert hospital.state("a") == HELD


def test_a_heart_that_stands_still_is_given_up_after_the_lease_and_not_before(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    hospital.admit("a")

    too_early = hospital.watch(reaper, clock, 15.0)
    state = hospital.state("a")
    in_time = hospital.watch(reaper, clock, 1.0)

    assert (too_early, state) == (set(), HELD)
    assert in_time == {"default"}
    # On another machine, which may be lost as a whole: no task is to blame.
    assert hospital.state("a") == GIVEN_BACK


def test_a_worker_of_this_machine_that_was_stopped_is_given_up_too(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    pid = os.getpid()
    hospital.admit("a", pid=pid, process_started=process_started(pid), machine=machine_id())

    hospital.watch(reaper, clock, 16.0)

    assert hospital.state("a") == CHARGED


def test_a_heart_that_beats_is_never_given_up(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    worker_id = hospital.admit("a")

    for _ in range(4):
        hospital.watch(reaper, clock, 10.0)
        assert hospital.ledger.leases.beat(worker_id)

    assert hospital.state("a") == HELD


def test_whoever_could_not_look_gives_nobody_up(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    hospital.admit("a")
    reaper.reap(hospital.ledger)

    # Suspended, or without a ledger, for far longer than the lease.
    clock.advance(600.0)
    after_the_pause = reaper.reap(hospital.ledger)
    watched_anew = hospital.watch(reaper, clock, 14.5)

    assert after_the_pause == watched_anew == set()
    assert hospital.state("a") == HELD
    assert hospital.watch(reaper, clock, 1.0) == {"default"}


def test_whoever_looked_away_gives_nobody_up(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    hospital.admit("a")
    hospital.watch(reaper, clock, 14.5)

    reaper.look_away()

    assert hospital.watch(reaper, clock, 14.5) == set()
    assert hospital.watch(reaper, clock, 1.0) == {"default"}


def test_a_worker_that_comes_back_is_watched_from_its_beginning(
    hospital: Hospital, reaper: Reaper, clock: Monotonic
) -> None:
    hospital.admit("a")
    hospital.watch(reaper, clock, 14.0)
    hospital.ledger.leases.leave("worker-1")
    hospital.watch(reaper, clock, 1.0)

    hospital.admit("b")
    hospital.watch(reaper, clock, 14.0)

    assert hospital.state("b") == HELD


class StaleLedger:
    """A ledger whose workers' hearts beat just after they were looked at."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.sweeps = ledger.sweeps
        self.leases = self

    def workers(self) -> tuple[Worker, ...]:
        seen = self._ledger.leases.workers()
        for each in seen:
            self._ledger.leases.beat(each.id)
        return seen


def test_a_heart_that_beats_at_the_last_moment_saves_its_worker(
    hospital: Hospital, reaper: Reaper, dead: dict[str, Any], app: Celery
) -> None:
    worker_id = hospital.admit("a", **dead)
    path = hospital.note_slots(worker_id, "a")
    stale: Any = StaleLedger(hospital.ledger)

    reaper.reap(stale)

    assert hospital.state("a") == HELD
    # What it runs is still written down, for the day it dies.
    assert path.exists()
    assert "workers_reaped" not in app.celeriac.counters.snapshot()
