"""Whatever happens in whatever order, the ledger does what a small model of it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import FINAL_STATES, TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.errors import TaskAlreadyFinalError
from celeriac.ledger.exchange import Exchange
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import FAILURE, Desk, new, waiting
from tests.fakes import Clock

pytestmark = pytest.mark.slow

WORKERS = ("w1", "w2")
MAX_CRASHES = 3
MOST_TASKS = 5


@dataclass
class Row:
    """What the model knows of a task."""

    state: TaskState
    upstream: str | None = None
    due: int = 0
    holder: str | None = None
    token: str | None = None
    crashes: int = 0
    attempt: int = 0
    shall_stop: bool = False
    at_most_once: bool = False
    result: str | None = None


@dataclass
class Model:
    """The ledger in sixty lines: one dictionary, no SQL."""

    rows: dict[str, Row] = field(default_factory=dict)
    now: int = 0

    def insert(self, task: NewTask, due: int) -> None:
        row = self.rows.get(task.id)
        if row is None or (row.state is TaskState.WAITING and not task.is_waiting):
            state = TaskState.SCHEDULED if due > self.now else TaskState.QUEUED
            row = row or Row(state)
            # What arrives says how it runs, whatever the row was before.
            row.at_most_once = task.at_most_once
            row.state = TaskState.WAITING if task.is_waiting else state
            row.upstream, row.due = task.upstream_id, due
            self.rows[task.id] = row

    def may_claim(self, name: str) -> bool:
        row = self.rows[name]
        return row.state is TaskState.QUEUED and not row.shall_stop

    def holds(self, name: str, token: str) -> bool:
        row = self.rows[name]
        return row.state is TaskState.RUNNING and row.token == token

    def end(self, name: str, state: TaskState, result: str | None = None) -> None:
        row = self.rows[name]
        row.state, row.result = state, result
        row.holder = row.token = row.upstream = None
        if state is not TaskState.COMPLETED:
            for other, waits in list(self.rows.items()):
                if waits.state is TaskState.WAITING and waits.upstream == name:
                    self.end(other, TaskState.FAILED)

    def go_on(self, name: str, state: TaskState, due: int = 0) -> None:
        row = self.rows[name]
        if row.shall_stop:
            self.end(name, TaskState.CANCELLED)
            return
        row.state, row.due, row.holder, row.token = state, due, None, None

    def lose(self, name: str) -> None:
        row = self.rows[name]
        row.crashes += 1
        if row.at_most_once or (not row.shall_stop and row.crashes >= MAX_CRASHES):
            self.end(name, TaskState.FAILED)
        else:
            self.go_on(name, TaskState.QUEUED)


PICK = st.integers(0, 10**6)
ENDINGS = st.sampled_from(list(Ending))


class LedgerMachine(RuleBasedStateMachine):
    """Does to the ledger and to the model the same, and compares them after each step."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        super().__init__()
        self.ledger, self.clock = ledger, clock
        self.start = clock.at
        self.model = Model()
        self.count = 0
        self.worker_ids: dict[str, str] = {}
        # Every lease that was ever granted: the task, the token and the worker.
        self.leases: list[tuple[str, str, str]] = []

    @initialize()
    def join(self) -> None:
        for name in WORKERS:
            self.rejoin(name)
        # A run may leave out whole rules, that of submitting too.
        for at_most_once in (False, True, False):
            self.insert(0, at_most_once=at_most_once)
        self.take("w1")

    def insert(self, delay: int, *, at_most_once: bool) -> None:
        self.count += 1
        task = new(f"t{self.count}", not_before=self.moment(delay), at_most_once=at_most_once)
        self.ledger.tasks.insert([task])
        self.model.insert(task, self.model.now + delay)

    def rejoin(self, name: str) -> None:
        self.count += 1
        self.worker_ids[name] = f"{name}-{self.count}"
        Desk(self.ledger, self.clock, self.worker_ids[name])

    def moment(self, delay: int) -> datetime:
        return self.start + timedelta(seconds=self.model.now + delay)

    def unfinished(self) -> list[str]:
        return [name for name, row in self.model.rows.items() if row.state not in FINAL_STATES]

    def has_room(self) -> bool:
        # Few tasks, to which much happens: what is late, is late for one that runs again.
        return len(self.unfinished()) < MOST_TASKS

    def held(self) -> list[tuple[str, str, str]]:
        return [lease for lease in self.leases if self.model.holds(*lease[:2])]

    def stale(self) -> list[tuple[str, str, str]]:
        """Return leases that are lost, first those of tasks that run again."""
        lost = [lease for lease in self.leases if not self.model.holds(*lease[:2])]
        again = [x for x in lost if self.model.rows[x[0]].state is TaskState.RUNNING]
        return again or lost

    def any_task(self, pick: int) -> str:
        # Twice as often one to which something can still happen.
        names = [*self.model.rows, *self.unfinished(), *self.unfinished()]
        return names[pick % len(names)]

    @precondition(has_room)
    @rule(delay=st.sampled_from([0, 0, 2]), at_most_once=st.booleans())
    def submit(self, delay: int, at_most_once: bool) -> None:  # noqa: FBT001
        self.insert(delay, at_most_once=at_most_once)

    @precondition(has_room)
    @rule(pick=PICK)
    def submit_waiting(self, pick: int) -> None:
        self.count += 1
        task = waiting(f"t{self.count}", self.any_task(pick))
        self.ledger.tasks.insert([task])
        self.model.insert(task, 0)

    @rule(pick=PICK)
    def submit_again(self, pick: int) -> None:
        task = new(self.any_task(pick))
        self.ledger.tasks.insert([task])
        self.model.insert(task, self.model.now)

    @precondition(lambda self: any(map(self.model.may_claim, self.model.rows)))
    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        self.take(worker)

    def take(self, worker: str) -> None:
        names = list(self.model.rows)
        exchange = self.ledger.leases.exchange(
            self.worker_ids[worker],
            outcomes=[],
            wanted=[TaskId(name) for name in names],
            queues=["default"],
        )
        assert [task.id for task in exchange.claimed] == list(filter(self.model.may_claim, names))
        for task in exchange.claimed:
            row = self.model.rows[task.id]
            row.state, row.holder, row.token = TaskState.RUNNING, worker, task.lease_token
            row.attempt += 1
            self.leases.append((task.id, task.lease_token, worker))

    @precondition(lambda self: bool(self.held()))
    @rule(pick=PICK, ending=ENDINGS, delay=st.sampled_from([0, 2]), other=PICK)
    def finish(self, pick: int, ending: Ending, delay: int, other: int) -> None:
        held = self.held()
        name, token, worker = held[pick % len(held)]
        next_id = self.any_task(other)

        exchange = self.tell(name, token, worker, ending, delay, next_id)

        assert exchange.lost == ()
        self.apply(name, ending, delay, next_id)

    @precondition(lambda self: bool(self.stale()))
    @rule(pick=PICK, ending=ENDINGS)
    def finish_late(self, pick: int, ending: Ending) -> None:
        stale = self.stale()
        name, token, worker = stale[pick % len(stale)]

        exchange = self.tell(name, token, worker, ending, 0, "sent on too late")

        self.expect_late(name, token, ending, exchange.lost)
        assert self.ledger.tasks.find("sent on too late") is None

    def tell(
        self, name: str, token: str, worker: str, ending: Ending, delay: int, next_id: str
    ) -> Exchange:
        resend = None
        if ending is Ending.RETRIED:
            resend = new(name, not_before=self.moment(delay), retries=1)
        elif ending is Ending.REPLACED:
            resend = waiting(name, next_id)
        outcome = Outcome(
            task_id=TaskId(name),
            lease_token=token,
            ending=ending,
            finished_at=self.clock(),
            result="1" if ending is Ending.COMPLETED else None,
            error=FAILURE if ending is Ending.FAILED else None,
            resend=resend,
            continuations=(new(next_id),) if ending is Ending.COMPLETED else (),
        )
        return self.ledger.leases.exchange(
            self.worker_ids[worker], outcomes=[outcome], wanted=[], queues=[]
        )

    def expect_late(self, name: str, token: str, ending: Ending, lost: tuple[TaskId, ...]) -> None:
        # Said a second time, in the same words, it is recognised; nothing is written either way.
        known = {
            (each.lease_token, each.ending)
            for each in self.ledger._database.read(
                lambda connection: connection.exec_driver_sql(
                    "SELECT lease_token, ending FROM attempts"
                    " UNION ALL SELECT last_token, last_ending FROM tasks"
                ).fetchall()
            )
        }
        assert lost == (() if (token, ending.value) in known else (name,))

    def apply(self, name: str, ending: Ending, delay: int, next_id: str) -> None:
        match ending:
            case Ending.COMPLETED:
                self.model.insert(new(next_id), self.model.now)
                self.model.end(name, TaskState.COMPLETED, "1")
            case Ending.FAILED | Ending.CANCELLED:
                self.model.end(name, TaskState(ending.value))
            case Ending.LOST:
                self.model.lose(name)
            case Ending.UNBEGUN:
                self.model.rows[name].attempt -= not self.model.rows[name].shall_stop
                self.model.go_on(name, TaskState.QUEUED)
            case Ending.RETURNED:
                self.model.go_on(name, TaskState.QUEUED)
            case Ending.RETRIED:
                state = TaskState.SCHEDULED if delay else TaskState.QUEUED
                self.model.go_on(name, state, self.model.now + delay)
            case Ending.REPLACED:
                self.model.go_on(name, TaskState.WAITING)
                if self.model.rows[name].state is TaskState.WAITING:
                    self.model.rows[name].upstream = next_id

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        name = self.any_task(pick)
        row = self.model.rows[name]
        if row.state in FINAL_STATES:
            with pytest.raises(TaskAlreadyFinalError):
                self.ledger.tasks.request_cancel(name)
            return
        self.ledger.tasks.request_cancel(name)
        if row.state is TaskState.RUNNING:
            row.shall_stop = True
        else:
            self.model.end(name, TaskState.CANCELLED)

    @precondition(lambda self: bool(self.held()))
    @rule(worker=st.sampled_from(WORKERS), has_beaten=st.booleans())
    def reap(self, worker: str, has_beaten: bool) -> None:  # noqa: FBT001
        worker_id = self.worker_ids[worker]
        seen = {each.id: each.sequence for each in self.ledger.leases.workers()}[worker_id]
        if has_beaten:
            assert self.ledger.leases.beat(worker_id)
        reaped = self.ledger.sweeps.reap(worker_id, seen)
        assert reaped.is_reaped is not has_beaten
        if reaped.is_reaped:
            for name, row in list(self.model.rows.items()):
                if row.holder == worker:
                    self.model.lose(name)
            self.rejoin(worker)

    @rule(seconds=st.integers(1, 3))
    def promote(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)
        self.model.now += seconds
        bells = self.ledger.sweeps.promote()
        due = [
            name
            for name, row in self.model.rows.items()
            if row.state is TaskState.SCHEDULED and row.due <= self.model.now
        ]
        assert {bell.task_id for bell in bells} == set(due)
        for name in due:
            self.model.rows[name].state = TaskState.QUEUED

    @rule()
    def fail_orphans(self) -> None:
        ended = self.ledger.sweeps.fail_orphans()
        orphans = [
            name
            for name, row in self.model.rows.items()
            if row.state is TaskState.WAITING
            and self.model.rows[row.upstream or ""].state in FINAL_STATES
        ]
        for name in orphans:
            if self.model.rows[name].state is TaskState.WAITING:
                self.model.end(name, TaskState.FAILED)
        assert set(orphans) <= {each.task_id for each in ended}

    @rule()
    def ring(self) -> None:
        self.ledger.sweeps.ring_all_due()
        rung = self.ledger.sweeps.due_to_ring(
            "default", limit=1000, again=self.clock() - self.start + self.clock.at.resolution
        )
        queued = {n for n, row in self.model.rows.items() if row.state is TaskState.QUEUED}
        assert {bell.task_id for bell in rung} == queued

    @invariant()
    def agree(self) -> None:
        found = self.ledger.tasks.find_many([TaskId(name) for name in self.model.rows])
        assert len(found) == len(self.model.rows)
        for name, row in self.model.rows.items():
            task = found[TaskId(name)]
            assert (name, task.state) == (name, row.state)
            assert (task.result, task.attempt, task.crashes) == (
                row.result,
                row.attempt,
                row.crashes,
            )
            assert task.upstream_id == row.upstream
            assert (task.cancel_requested_at is not None) == row.shall_stop


RUNS = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # The same runs each time: a red one can be looked at.
    derandomize=True,
)


def test_the_ledger_does_what_its_model_says(ledger: Ledger, clock: Clock) -> None:
    class Machine(LedgerMachine):
        def __init__(self) -> None:
            with ledger._database.engine.connect() as connection:
                for table in ("tasks", "attempts", "workers", "chords"):
                    connection.exec_driver_sql(f"DELETE FROM {table}")
            super().__init__(ledger, clock)

    run_state_machine_as_test(Machine, settings=RUNS)
