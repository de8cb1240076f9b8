from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.threads import ThreadsRunner
from tests.engines import make_claimed
from tests.unit.engine.test_solo import Bodies, Recorder


class Rig:
    """A runner with two threads; this thread is the pool's."""

    def __init__(self) -> None:
        self.executor = Bodies()
        self.events = Recorder()
        self.selector = selectors.DefaultSelector()
        executor: Any = self.executor
        self.runner = ThreadsRunner(executor, 2)
        self.runner.start(self.events, self.selector)

    def does(self, name: str, body: Callable[[], object]) -> None:
        def run() -> None:
            body()

        self.executor.bodies[name] = run

    def hand(self, name: str, task_id: str, **limits: float) -> Job:
        soft, hard = limits.get("soft"), limits.get("hard")
        job = Job(make_claimed(name, id=task_id), object(), soft_seconds=soft, hard_seconds=hard)
        self.runner.hand([job])
        return job

    def turn_until(self, is_over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not is_over():
            assert time.monotonic() < deadline, "it did not come to pass"
            self.runner.tick(time.monotonic())
            for key, _ in self.selector.select(0.01):
                key.data()

    def ending_of(self, job: Job) -> Ending:
        self.turn_until(lambda: any(each[0] is job for each in self.events.ends))
        return next(outcome.ending for done, outcome, _ in self.events.ends if done is job)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.runner.stop()
    rig.selector.close()


def spin() -> None:
    # Python steps, and none of them long: where a thread can be stopped.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.005)


def test_as_many_tasks_run_at_a_time_as_there_are_threads(rig: Rig) -> None:
    together = threading.Barrier(2, timeout=5)
    rig.does("meet", together.wait)

    one, other = rig.hand("meet", "a"), rig.hand("meet", "b")

    assert rig.runner.room() == 0
    assert [rig.ending_of(one), rig.ending_of(other)] == [Ending.COMPLETED] * 2
    assert rig.runner.room() == 2


def test_what_no_thread_has_taken_comes_back(rig: Rig) -> None:
    gate = threading.Event()
    rig.does("wait", lambda: gate.wait(5))
    running = [rig.hand("wait", "a"), rig.hand("wait", "b")]
    rig.turn_until(lambda: len(rig.events.began_in) == 2)
    waiting = rig.hand("add", "c")

    returned = rig.runner.give_back()

    assert returned == [waiting]
    gate.set()
    assert [rig.ending_of(job) for job in running] == [Ending.COMPLETED] * 2


def test_a_soft_limit_that_comes_at_the_very_end_is_a_timeout(rig: Rig) -> None:
    def late() -> None:
        raise SoftTimeLimitExceeded

    rig.does("late", late)
    job = rig.hand("late", "a", soft=50)
    job.is_soft_told = True

    assert rig.ending_of(job) is Ending.FAILED


def test_a_running_task_is_stopped_at_its_next_step(rig: Rig) -> None:
    rig.does("spin", spin)
    job = rig.hand("spin", "a")
    rig.turn_until(lambda: bool(rig.events.began_in))

    rig.runner.interrupt("a")

    assert rig.ending_of(job) is Ending.CANCELLED


def test_a_hard_limit_ends_a_task_that_catches_everything(rig: Rig) -> None:
    def stubborn() -> None:
        try:
            spin()
        except Exception:
            spin()

    rig.does("stubborn", stubborn)

    job = rig.hand("stubborn", "a", hard=0.2)

    assert rig.ending_of(job) is Ending.FAILED
    error = rig.events.ends[0][1].error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


def test_a_soft_limit_is_raised_in_the_task_that_has_it(rig: Rig) -> None:
    caught: list[str] = []

    def careful() -> None:
        try:
            spin()
        except SoftTimeLimitExceeded:
            caught.append(threading.current_thread().name)

    rig.does("careful", careful)

    job = rig.hand("careful", "a", soft=0.2)

    assert rig.ending_of(job) is Ending.COMPLETED
    assert len(caught) == 1


def test_what_is_thrown_at_a_task_that_has_ended_hits_nobody(rig: Rig) -> None:
    for number in range(50):
        job = rig.hand("add", f"early-{number}")
        rig.runner.interrupt(job.id)
        assert rig.ending_of(job) in (Ending.COMPLETED, Ending.CANCELLED)

    later = [rig.hand("add", f"later-{number}") for number in range(2)]

    assert [rig.ending_of(job) for job in later] == [Ending.COMPLETED] * 2


def test_a_task_that_wants_the_process_to_end_is_lost_alone(rig: Rig) -> None:
    def leave() -> None:
        raise SystemExit(3)

    rig.does("leave", leave)

    lost, kept = rig.hand("leave", "a"), rig.hand("add", "b")

    assert rig.ending_of(lost) is Ending.LOST
    assert rig.ending_of(kept) is Ending.COMPLETED


def test_a_cold_shutdown_returns_what_runs_and_drops_its_late_word(rig: Rig) -> None:
    rig.does("spin", spin)
    job = rig.hand("spin", "a")
    rig.turn_until(lambda: bool(rig.events.began_in))

    killed = rig.runner.kill()

    assert killed == [job]
    time.sleep(0.1)
    for key, _ in rig.selector.select(0.1):
        key.data()
    assert rig.events.ends == []
