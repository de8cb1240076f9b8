from __future__ import annotations

import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded, WorkerShutdown, WorkerTerminate

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.mailbox import Mailbox
from celeriac.engine.pool.solo import SoloRunner
from tests.engines import make_claimed


class Bodies:
    """An executor whose tasks do what the test says."""

    def __init__(self) -> None:
        self.bodies: dict[str, Callable[[], None]] = {}
        self.ran: list[str] = []

    def run(self, claimed: ClaimedTask) -> tuple[Outcome, Report]:
        self.ran.append(claimed.id)
        self.bodies.get(claimed.name, lambda: None)()
        outcome = Outcome(
            task_id=claimed.id,
            lease_token=claimed.lease_token,
            ending=Ending.COMPLETED,
            finished_at=datetime(2026, 11, 22, tzinfo=UTC),
        )
        return outcome, Report(state="SUCCESS")


class Recorder:
    """What the runner has told."""

    def __init__(self) -> None:
        self.began_in: list[str] = []
        self.ends: list[tuple[Job, Outcome, Report]] = []

    def began(self, job: Job, pid: int, slot: int) -> None:
        job.began = time.monotonic()
        self.began_in.append(threading.current_thread().name)

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        self.ends.append((job, outcome, report))

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None: ...

    def returned(self, jobs: Iterable[Job]) -> None: ...

    def asked(self) -> None: ...


class Rig:
    """A solo runner: this thread is the main one, and `beside` acts as the pool's."""

    def __init__(self) -> None:
        self.executor = Bodies()
        self.mailbox = Mailbox()
        self.events = Recorder()
        self.selector = selectors.DefaultSelector()
        executor: Any = self.executor
        self.runner = SoloRunner(executor, self.mailbox.post)
        self.runner.install()
        self.runner.start(self.events, self.selector)

    def hand(self, name: str = "add", **facts: Any) -> Job:
        limits = {key: facts.pop(key, None) for key in ("soft_seconds", "hard_seconds")}
        job = Job(make_claimed(name, **facts), object(), **limits)
        self.runner.hand([job])
        return job

    def run(self) -> None:
        """Do in the main thread what waits there, then what the pool's thread hears of it."""
        self.mailbox.empty()
        for key, _ in self.selector.select(0):
            key.data()

    def end(self) -> tuple[Outcome, Report]:
        ((_, outcome, report),) = self.events.ends
        return outcome, report

    def sleeps(self, act: Callable[[], Any]) -> Callable[[], None]:
        """Return a body that sleeps, and something another thread does meanwhile."""

        def body() -> None:
            beside = threading.Timer(0.01, act)
            beside.start()
            try:
                time.sleep(5.0)
            finally:
                beside.join()

        return body

    def close(self) -> None:
        self.runner.stop()
        self.mailbox.close()
        self.selector.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    before = signal.getsignal(signal.SIGVTALRM)
    made = Rig()
    yield made
    made.close()
    signal.signal(signal.SIGVTALRM, before)


def _raise(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_a_task_runs_in_the_main_thread(rig: Rig) -> None:
    hander = threading.Thread(target=rig.hand)
    hander.start()
    hander.join()

    rig.run()

    outcome, report = rig.end()
    assert outcome.ending is Ending.COMPLETED
    assert report.runtime_seconds > 0
    assert rig.events.began_in == ["MainThread"]


def test_there_is_room_for_one(rig: Rig) -> None:
    before = rig.runner.room()

    rig.hand()
    meanwhile = rig.runner.room()
    rig.run()

    assert (before, meanwhile, rig.runner.room()) == (1, 0, 1)


def test_what_has_not_begun_is_given_back_and_does_not_begin(rig: Rig) -> None:
    job = rig.hand()

    given_back = rig.runner.give_back()
    rig.run()

    assert given_back == [job]
    assert rig.executor.ran == []
    assert rig.events.ends == []


def test_a_running_task_is_cancelled_in_the_middle_of_its_body(rig: Rig) -> None:
    job = rig.hand("sleep")
    job.is_interrupted = True
    rig.executor.bodies["sleep"] = rig.sleeps(lambda: rig.runner.interrupt("task-1"))

    rig.run()

    outcome, report = rig.end()
    assert outcome.ending is Ending.CANCELLED
    assert report.state == "REVOKED"


def test_a_body_that_catches_everything_is_cancelled_all_the_same(rig: Rig) -> None:
    job = rig.hand("stubborn")
    job.is_interrupted = True
    sleep = rig.sleeps(lambda: rig.runner.interrupt("task-1"))

    def body() -> None:
        try:
            sleep()
        except Exception:
            pytest.fail("an except Exception caught it")

    rig.executor.bodies["stubborn"] = body

    rig.run()

    assert rig.end()[0].ending is Ending.CANCELLED


def test_another_task_is_not_interrupted(rig: Rig) -> None:
    rig.hand("look")
    rig.executor.bodies["look"] = lambda: rig.runner.interrupt("another")

    rig.run()

    assert rig.end()[0].ending is Ending.COMPLETED


def test_nothing_is_interrupted_when_nothing_runs(rig: Rig) -> None:
    rig.runner.interrupt("task-1")
    rig.runner.kill()

    rig.hand()
    rig.run()

    assert rig.end()[0].ending is Ending.COMPLETED


def test_a_killed_worker_gives_its_running_task_back(rig: Rig) -> None:
    rig.hand("sleep")
    rig.executor.bodies["sleep"] = rig.sleeps(rig.runner.kill)

    rig.run()

    outcome, _ = rig.end()
    assert (outcome.ending, outcome.is_suspect) == (Ending.LOST, False)


def test_a_task_over_its_hard_limit_is_stopped(rig: Rig) -> None:
    rig.hand("sleep", hard_seconds=0.005)
    rig.executor.bodies["sleep"] = rig.sleeps(lambda: rig.runner.tick(time.monotonic()))

    rig.run()

    outcome, _ = rig.end()
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT
    assert outcome.needs_errbacks


def test_a_task_over_its_soft_limit_is_told_in_its_body(rig: Rig) -> None:
    told: list[Any] = []
    rig.hand("sleep", soft_seconds=0.005)
    sleep = rig.sleeps(lambda: rig.runner.tick(time.monotonic()))

    def body() -> None:
        try:
            sleep()
        except SoftTimeLimitExceeded as limit:
            told.append(limit.args)

    rig.executor.bodies["sleep"] = body

    rig.run()

    assert told == [(0.005,)]
    assert rig.end()[0].ending is Ending.COMPLETED


def test_the_next_limit_is_named_while_a_task_runs(rig: Rig) -> None:
    named: list[Any] = []
    job = rig.hand("look", soft_seconds=50.0, hard_seconds=60.0)
    rig.executor.bodies["look"] = lambda: named.append(rig.runner.tick(time.monotonic()))

    rig.run()

    assert job.began is not None
    assert named == [job.began + 50.0]
    assert rig.runner.tick(time.monotonic()) is None


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_a_task_that_would_end_its_process_counts_as_a_crash(
    rig: Rig, error: BaseException
) -> None:
    rig.hand("exit")
    rig.executor.bodies["exit"] = _raise(error)

    rig.run()

    outcome, report = rig.end()
    assert (outcome.ending, outcome.is_suspect) == (Ending.LOST, True)
    assert report.state == "FAILURE"


def test_a_soft_limit_that_comes_at_the_very_end_is_no_crash(rig: Rig) -> None:
    rig.hand("late", soft_seconds=1)
    rig.executor.bodies["late"] = _raise(SoftTimeLimitExceeded(1))

    rig.run()

    outcome, _ = rig.end()
    assert outcome.error is not None
    assert (outcome.ending, outcome.error.kind) == (Ending.FAILED, ErrorKind.TIMEOUT)


def test_a_signal_between_two_steps_of_the_runner_takes_no_end_along(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.hand()
    run = rig.runner._run

    def run_and_be_told(job: Job) -> Any:
        ended = run(job)
        rig.runner._pending = SoftTimeLimitExceeded(1)
        signal.raise_signal(signal.SIGVTALRM)
        return ended

    monkeypatch.setattr(rig.runner, "_run", run_and_be_told)

    rig.run()
    # Put off, it comes again.
    time.sleep(0.05)

    assert rig.end()[0].ending is Ending.COMPLETED


@pytest.mark.parametrize("error", [WorkerShutdown(0), WorkerTerminate(1)])
def test_a_worker_that_is_told_to_end_in_the_middle_of_a_task_gives_it_back(
    rig: Rig, error: BaseException
) -> None:
    rig.hand("shutdown")
    rig.executor.bodies["shutdown"] = _raise(error)

    with pytest.raises(type(error)):
        rig.run()
    rig.run()

    outcome, _ = rig.end()
    assert (outcome.ending, outcome.is_suspect) == (Ending.LOST, False)


def test_a_signal_that_comes_when_the_task_has_just_ended_hits_nobody(rig: Rig) -> None:
    rig.hand()
    rig.run()
    rig.runner._pending = SoftTimeLimitExceeded(1)

    signal.raise_signal(signal.SIGVTALRM)

    assert rig.runner.room() == 1


def test_the_runner_tells_what_inspect_stats_shows(rig: Rig) -> None:
    assert rig.runner.facts()["max-concurrency"] == 1
