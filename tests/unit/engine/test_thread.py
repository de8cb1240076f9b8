from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.worker import state as worker_state

from celeriac.core.outcome import Ended, Ending, Outcome
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, NewTask, Task, TaskId
from celeriac.core.worker import Worker
from celeriac.engine.bells import Bells
from celeriac.engine.executor import Report
from celeriac.engine.identity import new_worker
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.membership import slot_path
from celeriac.engine.pool.runner import Events
from celeriac.engine.pool.slots import read_slots
from celeriac.engine.pool.thread import PoolThread
from celeriac.engine.pool.told import Told
from celeriac.engine.pool.wakeup import Wakeup
from celeriac.engine.runtime import Engine
from celeriac.errors import LedgerUnavailableError
from celeriac.ledger.open import Ledger
from celeriac.settings import Settings
from tests.engines import Request, make_arguments, open_app
from tests.fakes import open_test_ledger
from tests.servers.processes import wait_until

# A heart that beats seven times in this while: each 50 ms.
_SHORT_LEASE = timedelta(seconds=0.35)


class HandRunner:
    """A runner whose tasks end when the test says so."""

    name = "hand"

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.async_slots = 5
        self.running: dict[str, Job] = {}
        self.ran: list[str] = []
        self.interrupted: list[str] = []
        self.is_stopped = False
        self.ticks = 0
        self.tick_every: float | None = None
        self._events: Events
        self._wakeup = Wakeup()
        self._calls: deque[Callable[[], None]] = deque()

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        self._events = events
        selector.register(self._wakeup, selectors.EVENT_READ, self._do)

    def resize(self, slots: int) -> None:
        self.slots = slots

    def room(self) -> int:
        return self.slots - sum(not job.is_async for job in self.running.values())

    def async_room(self, wanted: int) -> int:
        return self.async_slots - sum(job.is_async for job in self.running.values())

    def hand(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            assert (self.async_room(1) if job.is_async else self.room()) > 0
            self.running[job.id] = job
            self.ran.append(job.id)
            self._events.began(job, 1234, len(self.running) - 1)

    def interrupt(self, task_id: str) -> None:
        self.interrupted.append(task_id)
        self._end(task_id, Ending.CANCELLED, {})

    def tick(self, now: float) -> float | None:
        self.ticks += 1
        return None if self.tick_every is None else now + self.tick_every

    def give_back(self) -> list[Job]:
        return []

    def kill(self) -> list[Job]:
        jobs = list(self.running.values())
        self.running.clear()
        return jobs

    def stop(self) -> None:
        self.is_stopped = True
        self._wakeup.close()

    def facts(self) -> dict[str, Any]:
        return {}

    def finish(self, task_id: str, ending: Ending = Ending.COMPLETED, **facts: Any) -> None:
        """Have a task end, from the test's thread."""
        self._call(lambda: self._end(task_id, ending, facts))

    def return_unbegun(self, task_id: str) -> None:
        """Have a task come back as if it had waited behind another, from the test's thread."""
        self._call(lambda: self._events.returned([self.running.pop(task_id)]))

    def report(self, task_id: str, progress: str) -> None:
        """Have a task tell of itself, from the test's thread."""
        token = self.running[task_id].claimed.lease_token
        self._call(lambda: self._events.progressed(TaskId(task_id), token, progress))

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._wakeup.wake()

    def _do(self) -> None:
        self._wakeup.clear()
        while self._calls:
            self._calls.popleft()()

    def _end(self, task_id: str, ending: Ending, facts: dict[str, Any]) -> None:
        job = self.running.pop(task_id)
        outcome = Outcome(
            task_id=job.claimed.id,
            lease_token=job.claimed.lease_token,
            ending=ending,
            finished_at=datetime.now(UTC),
            **facts,
        )
        self._events.ended(job, outcome, Report(state="SUCCESS", runtime_seconds=0.001))


class FlakyEngine(Engine):
    """An engine whose ledger can be taken away."""

    # How far a turn gets: not even to the ledger, or to its one transaction.
    away_at = ""
    refused = 0
    # How many ends and claims each exchange brought, while callers wait for the ledger.
    brief: list[tuple[int, int]] | None = None

    @property
    def ledger(self) -> Any:
        if self.away_at == "connect":
            self._refuse()
        if self.brief is not None:
            return AwaitedLedger(super().ledger, self.brief)
        return FlakyLedger(super().ledger, self) if self.away_at else super().ledger

    def _refuse(self) -> None:
        self.refused += 1
        raise LedgerUnavailableError("the test took it away")


class FlakyLedger:
    """A ledger whose exchanges fail."""

    def __init__(self, ledger: Ledger, engine: FlakyEngine) -> None:
        self._engine = engine
        self.tasks, self.real_leases = ledger.tasks, ledger.leases
        self.leases = self
        self.losses = ledger.losses
        self.is_awaited = ledger.is_awaited

    def join(self, worker: Any) -> None:
        self.real_leases.join(worker)

    def beat(self, worker_id: str) -> bool:
        return self.real_leases.beat(worker_id)

    def exchange(self, *_: Any, **__: Any) -> Any:
        self._engine._refuse()


class AwaitedLedger:
    """A ledger at which callers wait to write."""

    is_awaited = True

    def __init__(self, ledger: Ledger, brief: list[tuple[int, int]]) -> None:
        self._ledger, self._brief = ledger, brief

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger if hasattr(self._ledger, name) else self._ledger.leases, name)

    @property
    def leases(self) -> Any:
        return self

    def exchange(self, *words: Any, **facts: Any) -> Any:
        self._brief.append((len(facts["outcomes"]), len(facts["wanted"])))
        return self._ledger.leases.exchange(*words, **facts)


class Rig:
    """A pool's thread with everything around it."""

    def __init__(self, app: Celery, ledger: Ledger, runner: HandRunner) -> None:
        self.ledger = ledger
        self.runner = runner
        self.engine: FlakyEngine = app.celeriac
        self.told: list[Ended] = []
        self.rung: list[Doorbell] = []
        self.requests: dict[str, Request] = {}
        self._bells = Bells(self._ring, self._tell, lambda _: None)
        self.thread = PoolThread(
            self.engine,
            runner,
            Told(lambda call, *args: call(*args)),
            describe=lambda: new_worker(
                name="hand@host", queues=("default",), pool="hand", slots=runner.slots
            ),
            queues=lambda: ("default",),
            limits=lambda claimed, request: (None, None),
            bells=self._bells,
        )

    def start(self) -> None:
        self._bells.start()
        self.thread.start()

    def end(self) -> None:
        self.engine.away_at = ""
        self.thread.stop(kill=True)
        assert self.thread.join(10.0)
        self._bells.stop(5.0)

    def _ring(self, doorbells: Sequence[Doorbell]) -> None:
        self.rung.extend(doorbells)

    def _tell(self, ended: Sequence[Ended]) -> None:
        self.told.extend(ended)

    def submit(self, *task_ids: str, **facts: Any) -> None:
        """Put tasks into the ledger and their doorbells to the thread."""
        rows = [
            NewTask(id=TaskId(each), name="add", arguments=make_arguments(), **facts)
            for each in task_ids
        ]
        self.ledger.tasks.insert(rows)
        for each in task_ids:
            self.deliver(each)

    def deliver(self, task_id: str) -> Request:
        """Give a doorbell to the thread, as the consumer does."""
        request = self.requests[task_id] = Request(task_id)
        worker_state.task_reserved(request)
        self.thread.receive_all([request])
        return request

    def find(self, task_id: str) -> Task:
        return self.ledger.tasks.get(TaskId(task_id))

    def wait_for(self, task_id: str, state: TaskState) -> Task:
        wait_until(lambda: self.find(task_id).state is state, f"{task_id} is {state}", pause=0.005)
        return self.find(task_id)

    def wait_for_run(self, task_id: str) -> None:
        wait_until(lambda: task_id in self.runner.running, f"{task_id} runs", pause=0.005)

    def wait_for_count(self, name: str, count: int = 1) -> None:
        counters = self.engine.counters
        wait_until(
            lambda: counters.snapshot().get(name, 0) >= count, f"{count} {name}", pause=0.005
        )

    def worker(self) -> Worker:
        wait_until(lambda: self.ledger.leases.workers(), "a worker joined", pause=0.005)
        (worker,) = self.ledger.leases.workers()
        return worker


@contextmanager
def _open_rig(folder: Path, *, slots: int = 1, lease: timedelta = _SHORT_LEASE) -> Iterator[Rig]:
    ledger = open_test_ledger(folder)
    with open_app(folder, lease=lease) as app:
        settings: Settings = app.celeriac.settings
        app.celeriac = FlakyEngine(app, settings)
        rig = Rig(app, ledger, HandRunner(slots))
        rig.start()
        try:
            yield rig
        finally:
            rig.end()
            ledger.close()


@pytest.fixture(autouse=True)
def clean_state() -> Iterator[None]:
    worker_state.reset_state()
    yield
    worker_state.reset_state()
    worker_state.revoked.clear()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with _open_rig(tmp_path) as made:
        yield made


def test_the_thread_claims_what_it_is_given_and_completes_what_has_run(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    running = rig.find("a")

    rig.runner.finish("a", result="3")

    ended = rig.wait_for("a", TaskState.COMPLETED)
    assert (running.state, running.worker) == (TaskState.RUNNING, "hand@host")
    assert ended.result == "3"
    assert rig.requests["a"].acknowledgements == 1
    assert rig.requests["a"].accepted[0][0] == 1234
    wait_until(lambda: rig.told, "waiters are told", pause=0.005)
    assert [each.task_id for each in rig.told] == ["a"]


def test_the_thread_tells_celery_of_an_end_only_when_it_is_written(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    rig.engine.away_at = "exchange"

    rig.runner.finish("a")
    wait_until(lambda: rig.engine.refused > 0, "a turn failed", pause=0.005)

    assert rig.requests["a"].events == []
    rig.engine.away_at = ""
    rig.wait_for("a", TaskState.COMPLETED)
    wait_until(lambda: rig.requests["a"].events, "Celery is told", pause=0.005)


def test_what_follows_an_end_is_rung(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    following = NewTask(id=TaskId("b"), name="add", arguments=make_arguments())

    rig.runner.finish("a", continuations=(following,))

    wait_until(lambda: rig.rung, "the continuation is rung", pause=0.005)
    assert [each.task_id for each in rig.rung] == ["b"]


def test_a_second_doorbell_of_a_task_that_runs_changes_nothing(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    first = rig.requests["a"]
    second = rig.deliver("a")
    rig.wait_for_count("doorbells_twice")

    wait_until(lambda: second.acknowledged, "it is acknowledged", pause=0.005)
    rig.runner.finish("a")
    rig.wait_for("a", TaskState.COMPLETED)
    assert rig.runner.ran == ["a"]
    assert first.events
    assert not second.events


def test_while_callers_wait_for_the_ledger_much_is_written_in_pieces(tmp_path: Path) -> None:
    names = [f"task-{number}" for number in range(100)]
    # No heartbeat wakes it in between.
    with _open_rig(tmp_path, slots=100, lease=timedelta(minutes=10)) as rig:
        rig.worker()
        exchanges: list[tuple[int, int]] = []
        rig.engine.brief = exchanges
        rig.submit(*names)
        wait_until(lambda: len(rig.runner.running) == 100, "all run", pause=0.005)

        for each in names:
            rig.runner.finish(each)
        for each in names:
            rig.wait_for(each, TaskState.COMPLETED)

    assert [sum(counts) for counts in zip(*exchanges, strict=True)] == [100, 100]
    assert max(max(counts) for counts in exchanges) <= 32


def test_a_doorbell_without_a_task_is_refused(rig: Rig) -> None:
    request = rig.deliver("nobody")

    rig.wait_for_count("claims_refused")

    wait_until(lambda: request.acknowledged, "it is acknowledged", pause=0.005)
    assert rig.runner.ran == []
    wait_until(rig.thread.is_idle, "nothing is left", pause=0.005)


def test_a_task_behind_many_refused_doorbells_waits_for_no_heartbeat(tmp_path: Path) -> None:
    with _open_rig(tmp_path, lease=timedelta(minutes=10)) as rig:
        rig.worker()
        unknown = [Request(f"unknown-{number}") for number in range(50)]
        for each in unknown:
            worker_state.task_reserved(each)

        rig.thread.receive_all(unknown)
        rig.submit("a")

        rig.wait_for_run("a")
        rig.runner.finish("a")
        rig.wait_for("a", TaskState.COMPLETED)
        assert rig.engine.counters.snapshot()["claims_refused"] == len(unknown)


@pytest.mark.parametrize(
    "facts",
    [
        # Of a queue that this worker does not serve.
        {"queue": "cpu"},
        # Not due, whatever the doorbell says.
        {"not_before": datetime(2100, 1, 1, tzinfo=UTC)},
        # Too late.
        {"expires_at": datetime(2000, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_doorbell_of_a_task_that_is_not_to_run_here_is_refused(
    rig: Rig, facts: dict[str, Any]
) -> None:
    rig.submit("a", **facts)

    rig.wait_for_count("claims_refused")

    assert rig.runner.ran == []


def test_a_completed_task_is_not_run_again(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    rig.runner.finish("a")
    rig.wait_for("a", TaskState.COMPLETED)

    rig.deliver("a")
    rig.wait_for_count("claims_refused")

    assert rig.runner.ran == ["a"]


def test_the_thread_claims_no_more_than_its_slots_and_a_little_ahead(rig: Rig) -> None:
    rig.submit(*"abcdef")
    rig.wait_for_run("a")

    rig.runner.report("a", "{}")
    wait_until(lambda: rig.find("a").progress, "a turn more", pause=0.005)

    # One runs, one waits for its slot; the others are for whoever is free.
    states = [rig.find(each).state for each in "abcdef"]
    assert states.count(TaskState.RUNNING) == 2
    assert states.count(TaskState.QUEUED) == 4


def test_what_a_task_tells_of_itself_is_written(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    rig.runner.report("a", '{"state":"HALF"}')

    wait_until(lambda: rig.find("a").progress, "progress is written", pause=0.005)
    assert rig.find("a").progress == '{"state":"HALF"}'


def test_a_worker_that_stops_finishes_what_runs_and_gives_back_the_rest(rig: Rig) -> None:
    rig.submit("a", "b", "c")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)
    worker = rig.worker()

    rig.thread.stop()
    rig.wait_for("b", TaskState.QUEUED)
    still_running = rig.find("a").state
    rig.runner.finish("a", result="1")

    assert rig.thread.join(5.0)
    assert still_running is TaskState.RUNNING
    assert rig.find("a").state is TaskState.COMPLETED
    assert rig.find("b").crashes == 0
    # Never claimed: left unacknowledged, for the broker to give to another worker.
    assert not rig.requests["c"].acknowledged
    assert rig.ledger.leases.workers() == ()
    assert not slot_path(rig.engine, worker.id).exists()
    assert rig.runner.is_stopped


def test_a_worker_that_is_killed_gives_back_what_runs_too(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    rig.thread.stop(kill=True)

    assert rig.thread.join(5.0)
    task = rig.find("a")
    assert (task.state, task.crashes) == (TaskState.QUEUED, 0)


def test_a_worker_that_stops_takes_nothing_in(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    rig.thread.stop()

    rig.submit("b")
    rig.runner.finish("a")

    assert rig.thread.join(5.0)
    assert rig.find("b").state is TaskState.QUEUED
    assert not rig.requests["b"].acknowledged


def test_a_worker_that_has_left_can_be_told_to_stop_again(rig: Rig) -> None:
    rig.thread.stop()
    assert rig.thread.join(5.0)

    rig.thread.stop(kill=True)

    assert rig.thread.join(0.0)


def test_a_workers_heart_beats_while_nothing_happens(rig: Rig) -> None:
    first = rig.worker().sequence

    wait_until(lambda: rig.worker().sequence >= first + 2, "two beats", pause=0.01)


def test_a_worker_that_was_given_up_loses_what_it_ran_and_joins_again(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    given_up = rig.worker()
    while not rig.ledger.sweeps.reap(given_up.id, given_up.sequence).is_reaped:
        given_up = rig.worker()

    rig.runner.finish("a", result="late")
    rig.wait_for_count("completions_refused")

    assert rig.find("a").state is TaskState.QUEUED
    rig.wait_for_count("reaped_alive")
    assert rig.worker().id != given_up.id
    rig.submit("b")
    rig.wait_for_run("b")


def test_a_worker_that_was_given_up_claims_again_what_it_had_asked_for(rig: Rig) -> None:
    given_up = rig.worker()
    while not rig.ledger.sweeps.reap(given_up.id, given_up.sequence).is_reaped:
        given_up = rig.worker()

    rig.submit("a")

    rig.wait_for_run("a")


@pytest.mark.parametrize("where", ["connect", "exchange"])
def test_outcomes_are_kept_while_the_ledger_is_away(rig: Rig, where: str) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    rig.engine.away_at = where
    rig.runner.finish("a", result="1")
    wait_until(lambda: rig.engine.refused > 0, "a turn failed", pause=0.005)

    rig.engine.away_at = ""

    assert rig.wait_for("a", TaskState.COMPLETED).result == "1"


def test_limits_are_kept_in_time_while_the_ledger_is_away(rig: Rig) -> None:
    rig.worker()
    rig.engine.away_at = "connect"
    wait_until(lambda: rig.engine.refused >= 2, "two turns failed", pause=0.005)
    before = rig.engine.refused

    rig.runner.tick_every = 0.01
    rig.thread.wake()
    ticks = rig.runner.ticks
    wait_until(lambda: rig.runner.ticks > ticks + 20, "the runner looks at its limits", pause=0.005)

    # And nobody asks the ledger any sooner for it.
    assert rig.engine.refused <= before + 2


def test_nobody_is_blamed_for_a_cold_shutdown_while_the_ledger_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.engine.pool.patience._FIRST_PAUSE_SECONDS", 0.001)
    with _open_rig(tmp_path) as rig:
        rig.submit("a", "b")
        rig.wait_for_run("a")
        slots = slot_path(rig.engine, rig.worker().id)
        rig.engine.away_at = "connect"

        rig.thread.stop(kill=True)
        assert rig.thread.join(20.0)

        assert read_slots(slots) == frozenset()


def test_an_outage_is_told_of_ever_more_rarely(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.worker()
    rig.engine.away_at = "connect"

    wait_until(lambda: rig.engine.refused >= 3, "three turns failed", pause=0.005)

    told = [each for each in caplog.records if "claims nothing" in each.message]
    assert 1 <= len(told) < rig.engine.refused


def test_doorbells_are_kept_while_the_ledger_is_away(rig: Rig) -> None:
    rig.worker()
    rig.engine.away_at = "exchange"
    rig.submit("a")
    wait_until(lambda: rig.engine.refused > 0, "a turn failed", pause=0.005)

    assert not rig.requests["a"].acknowledged
    rig.engine.away_at = ""

    rig.wait_for_run("a")


def test_a_worker_starts_while_the_ledger_is_away(tmp_path: Path) -> None:
    ledger = open_test_ledger(tmp_path)
    with open_app(tmp_path) as app:
        engine = app.celeriac = FlakyEngine(app, app.celeriac.settings)
        engine.away_at = "connect"
        rig = Rig(app, ledger, HandRunner(1))
        rig.start()
        try:
            wait_until(lambda: engine.refused > 0, "a turn failed", pause=0.005)

            engine.away_at = ""

            assert rig.worker().name == "hand@host"
        finally:
            rig.end()
            ledger.close()


def test_what_waits_behind_a_task_that_turned_out_to_be_long_goes_to_others(rig: Rig) -> None:
    rig.submit("a", "b")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)

    # Half a second without a begin or an end.
    rig.wait_for("b", TaskState.QUEUED)

    assert rig.find("b").crashes == 0
    assert rig.find("a").state is TaskState.RUNNING
    wait_until(lambda: rig.rung, "it is rung for others", pause=0.005)
    assert [each.task_id for each in rig.rung] == ["b"]


def test_a_running_task_that_somebody_cancels_is_interrupted(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    rig.ledger.tasks.request_cancel("a")

    rig.wait_for("a", TaskState.CANCELLED)
    assert rig.runner.interrupted == ["a"]


def test_a_claimed_task_that_waits_for_its_slot_is_cancelled_without_running(rig: Rig) -> None:
    rig.submit("a", "b")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)

    rig.thread.interrupt("b")

    rig.wait_for("b", TaskState.CANCELLED)
    assert rig.runner.ran == ["a"]
    assert rig.runner.interrupted == []


def test_a_running_task_is_interrupted_once(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    for _ in range(3):
        rig.thread.interrupt("a")

    rig.wait_for("a", TaskState.CANCELLED)
    assert rig.runner.interrupted == ["a"]


def test_an_interrupt_for_a_task_that_is_not_here_is_forgotten(rig: Rig) -> None:
    rig.thread.interrupt("elsewhere")

    rig.submit("a")
    rig.wait_for_run("a")

    assert rig.runner.interrupted == []


def test_a_claimed_task_that_celery_was_told_to_revoke_does_not_run(rig: Rig) -> None:
    rig.submit("a", "b")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)

    worker_state.revoked.add("b")
    rig.thread.wake()

    rig.wait_for("b", TaskState.CANCELLED)


def test_what_celerys_event_loop_revoked_is_cancelled_by_the_thread(rig: Rig) -> None:
    rig.worker()
    rig.ledger.tasks.insert([NewTask(id=TaskId("a"), name="add", arguments=make_arguments())])
    rig.engine.on_cancel = rig.thread.wake

    rig.engine.cancel_soon(TaskId("a"))

    rig.wait_for("a", TaskState.CANCELLED)


def test_the_slot_file_names_what_truly_runs(rig: Rig) -> None:
    rig.submit("a", "b")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)

    assert read_slots(slot_path(rig.engine, rig.worker().id)) == frozenset({"a"})


def test_the_slot_file_forgets_a_task_that_has_ended(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")

    rig.runner.finish("a")

    rig.wait_for("a", TaskState.COMPLETED)
    assert read_slots(slot_path(rig.engine, rig.worker().id)) == frozenset()


def test_a_task_that_comes_back_cancelled_from_behind_a_long_one_ends_unrun(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    job = rig.runner.running["a"]
    job.is_interrupted = True

    rig.runner.return_unbegun("a")

    rig.wait_for("a", TaskState.CANCELLED)
    assert rig.runner.ran == ["a"]


def test_the_next_task_runs_in_the_slot_of_the_one_that_ended(rig: Rig) -> None:
    rig.submit("a", "b", "c")
    for each in "abc":
        rig.wait_for_run(each)
        rig.runner.finish(each)

    rig.wait_for("c", TaskState.COMPLETED)

    assert rig.runner.ran == ["a", "b", "c"]
    wait_until(rig.thread.is_idle, "nothing is left", pause=0.005)


def test_what_comes_back_unbegun_is_not_charged_with_what_happens_next(rig: Rig) -> None:
    rig.submit("a")
    rig.wait_for_run("a")
    job = rig.runner.running["a"]
    # So that it stays with the worker.
    rig.runner.slots = 0

    rig.runner.return_unbegun("a")

    wait_until(lambda: job.began is None, "it has not begun", pause=0.005)
    wait_until(
        lambda: not read_slots(slot_path(rig.engine, rig.worker().id)),
        "no slot names it",
        pause=0.005,
    )


def test_what_was_to_be_cancelled_is_cancelled_when_the_ledger_is_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.worker()
    rig.ledger.tasks.insert([NewTask(id=TaskId("a"), name="add", arguments=make_arguments())])
    asked: list[str] = []

    def be_away(_tasks: object, task_id: str, **_options: object) -> None:
        asked.append(task_id)
        raise LedgerUnavailableError("the test took it away")

    monkeypatch.setattr(type(rig.engine.ledger.tasks), "request_cancel", be_away)
    rig.engine.on_cancel = rig.thread.wake
    rig.engine.cancel_soon(TaskId("a"))
    wait_until(lambda: asked, "it was tried", pause=0.005)
    monkeypatch.undo()

    rig.wait_for("a", TaskState.CANCELLED)


def test_a_worker_that_was_given_up_begins_nothing_of_what_it_had_claimed(rig: Rig) -> None:
    rig.submit("a", "b")
    rig.wait_for_run("a")
    rig.wait_for("b", TaskState.RUNNING)
    given_up = rig.worker()
    while not rig.ledger.sweeps.reap(given_up.id, given_up.sequence).is_reaped:
        given_up = rig.worker()
    rig.wait_for_count("reaped_alive")

    rig.runner.finish("a")

    rig.wait_for_count("completions_refused", 2)
    assert rig.runner.ran == ["a"]
    assert rig.find("b").state is TaskState.QUEUED
