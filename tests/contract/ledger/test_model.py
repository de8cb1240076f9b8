"""Whatever happens in whatever order, the ledger does what a small model of it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import FINAL_STATES, TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.errors import TaskAlreadyFinalError
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import FAILURE, Desk, new, waiting
from tests.fakes import Clock

WORKERS = ("w1", "w2")
MAX_CRASHES = 3


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
            row = row or Row(state, at_most_once=task.at_most_once)
            row.state = TaskState.WAITING if task.is_waiting else state
            row.upstream, row.due = task.upstream_id, due
            self.rows[task.id] = row

    def claim(self, name: str, worker: str) -> bool:
        row = self.rows.get(name)
        return row is not None and row.state is TaskState.QUEUED and not row.shall_stop

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


class LedgerMachine(RuleBasedStateMachine):
    """Does to the ledger and to the model the same, and compares them after each step."""

    ids: Bundle[str] = Bundle("ids")
    leases: Bundle[tuple[str, str, str]] = Bundle("leases")

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        super().__init__()
        self.ledger, self.clock = ledger, clock
        self.start = clock.at
        self.model = Model()
        self.count = 0
        self.worker_ids: dict[str, str] = {}

    @initialize()
    def join(self) -> None:
        for name in WORKERS:
            self.rejoin(name)

    def rejoin(self, name: str) -> None:
        self.count += 1
        self.worker_ids[name] = f"{name}-{self.count}"
        Desk(self.ledger, self.clock, self.worker_ids[name])

    def moment(self, delay: int) -> Any:
        return self.start.__class__.fromtimestamp(
            self.start.timestamp() + self.model.now + delay, tz=self.start.tzinfo
        )

    @rule(target=ids, delay=st.sampled_from([0, 0, 2]), at_most_once=st.booleans())
    def submit(self, delay: int, at_most_once: bool) -> str:  # noqa: FBT001
        self.count += 1
        name = f"t{self.count}"
        task = new(name, not_before=self.moment(delay), at_most_once=at_most_once)
        self.ledger.tasks.insert([task])
        self.model.insert(task, self.model.now + delay)
        return name

    @rule(target=ids, upstream=ids)
    def submit_waiting(self, upstream: str) -> str:
        self.count += 1
        task = waiting(f"t{self.count}", upstream)
        self.ledger.tasks.insert([task])
        self.model.insert(task, 0)
        return task.id

    @rule(name=ids)
    def submit_again(self, name: str) -> None:
        task = new(name)
        self.ledger.tasks.insert([task])
        self.model.insert(task, self.model.now)

    @rule(target=leases, names=st.lists(ids, max_size=4), worker=st.sampled_from(WORKERS))
    def claim(self, names: list[str], worker: str) -> Any:
        worker_id = self.worker_ids[worker]
        exchange = self.ledger.leases.exchange(
            worker_id, outcomes=[], wanted=[TaskId(name) for name in names], queues=["default"]
        )
        expected = [name for name in dict.fromkeys(names) if self.model.claim(name, worker)]
        assert [task.id for task in exchange.claimed] == expected
        for task in exchange.claimed:
            row = self.model.rows[task.id]
            row.state, row.holder, row.token = TaskState.RUNNING, worker, task.lease_token
            row.attempt += 1
        return multiple(*((task.id, task.lease_token, worker) for task in exchange.claimed))

    @rule(
        lease=leases,
        ending=st.sampled_from(list(Ending)),
        delay=st.sampled_from([0, 2]),
        next_id=ids,
    )
    def finish(self, lease: tuple[str, str, str], ending: Ending, delay: int, next_id: str) -> None:
        name, token, worker = lease
        resend = None
        if ending is Ending.RETRIED:
            resend = new(name, not_before=self.moment(delay), retries=1)
        elif ending is Ending.REPLACED:
            resend = waiting(name, next_id)
        continuation = new(next_id)
        outcome = Outcome(
            task_id=TaskId(name),
            lease_token=token,
            ending=ending,
            finished_at=self.clock(),
            result="1" if ending is Ending.COMPLETED else None,
            error=FAILURE if ending is Ending.FAILED else None,
            resend=resend,
            continuations=(continuation,) if ending is Ending.COMPLETED else (),
        )
        exchange = self.ledger.leases.exchange(
            self.worker_ids[worker], outcomes=[outcome], wanted=[], queues=[]
        )
        if not self.model.holds(name, token):
            self.expect_late(name, token, ending, exchange.lost)
            return
        assert exchange.lost == ()
        self.apply(name, ending, delay, next_id, continuation)

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

    def apply(
        self, name: str, ending: Ending, delay: int, next_id: str, continuation: NewTask
    ) -> None:
        match ending:
            case Ending.COMPLETED:
                self.model.insert(continuation, self.model.now)
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

    @rule(name=ids)
    def cancel(self, name: str) -> None:
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
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)
        self.model.now += seconds

    @rule()
    def promote(self) -> None:
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
    @precondition(lambda self: self.model.rows)
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
    max_examples=25,
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
