"""A worker's place at the ledger: what a test claims and completes with one word each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from celeriac.core.outcome import Ended, Ending, NewChord, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, ClaimedTask, Codec, NewTask, Task, TaskError, TaskId
from celeriac.core.worker import NewWorker
from celeriac.ledger.exchange import Exchange
from celeriac.ledger.open import Ledger
from tests.fakes import Clock

FAILURE = TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="no good")


def new(task_id: str, **changes: Any) -> NewTask:
    """Return a task to be put in."""
    task = NewTask(
        id=TaskId(task_id),
        name="sample.add",
        arguments=Arguments(codec=Codec.JSON, text='[[1],{"y":2}]'),
    )
    return replace(task, **changes)


def waiting(task_id: str, upstream_id: str, **changes: Any) -> NewTask:
    """Return a task whose turn comes later."""
    return new(task_id, is_waiting=True, upstream_id=upstream_id, **changes)


def new_chord(chord_id: str, size: int, **changes: Any) -> NewChord:
    """Return a chord to be put in."""
    return replace(NewChord(id=chord_id, size=size, body="{}", queue="default"), **changes)


def new_worker(worker_id: str, **changes: Any) -> NewWorker:
    """Return a worker that joins."""
    worker = NewWorker(
        id=worker_id,
        name=f"celery@{worker_id}",
        queues=("default",),
        machine="machine",
        pid=1,
        process_started="1",
        pool="solo",
        slots=1,
    )
    return replace(worker, **changes)


class Desk:
    """One worker, by turns all that a worker does."""

    def __init__(self, ledger: Ledger, clock: Clock, worker_id: str = "w1") -> None:
        self.ledger = ledger
        self.clock = clock
        self.worker_id = worker_id
        ledger.leases.join(new_worker(worker_id))

    def colleague(self, worker_id: str) -> Desk:
        """Return another worker's place."""
        return Desk(self.ledger, self.clock, worker_id)

    def put(self, *tasks: NewTask, chords: Sequence[NewChord] = ()) -> None:
        """Put tasks into the ledger."""
        self.ledger.tasks.insert(tasks, chords=chords)

    def exchange(
        self,
        *outcomes: Outcome,
        wanted: Sequence[str] = (),
        queues: Sequence[str] = ("default",),
    ) -> Exchange:
        """Complete and claim at once."""
        return self.ledger.leases.exchange(
            self.worker_id,
            outcomes=outcomes,
            wanted=[TaskId(task_id) for task_id in wanted],
            queues=queues,
        )

    def claim(self, *ids: str) -> list[ClaimedTask]:
        """Claim tasks and return those that were granted."""
        return list(self.exchange(wanted=ids).claimed)

    def claim_one(self, task_id: str) -> ClaimedTask:
        """Claim a task that must be granted."""
        (claimed,) = self.claim(task_id)
        return claimed

    def begin(self, task_id: str, **changes: Any) -> ClaimedTask:
        """Put a task in and claim it."""
        self.put(new(task_id, **changes))
        return self.claim_one(task_id)

    def outcome(self, held: ClaimedTask, ending: Ending, **facts: Any) -> Outcome:
        """Return how an attempt ended."""
        if ending is Ending.FAILED:
            facts = {"error": FAILURE, **facts}
        return Outcome(
            task_id=held.id,
            lease_token=held.lease_token,
            ending=ending,
            finished_at=self.clock(),
            **facts,
        )

    def end(self, held: ClaimedTask, ending: Ending, **facts: Any) -> Exchange:
        """Tell how an attempt ended."""
        return self.exchange(self.outcome(held, ending, **facts))

    def complete(self, held: ClaimedTask, result: str | None = "3", **facts: Any) -> Exchange:
        """Tell that an attempt completed."""
        return self.end(held, Ending.COMPLETED, result=result, **facts)

    def fail(self, held: ClaimedTask, **facts: Any) -> Exchange:
        """Tell that an attempt failed."""
        return self.end(held, Ending.FAILED, **facts)

    def get(self, task_id: str) -> Task:
        """Return a task as the ledger has it."""
        return self.ledger.tasks.get(task_id)

    def state(self, task_id: str) -> TaskState:
        """Return a task's state."""
        return self.get(task_id).state

    def endings(self, task_id: str) -> list[str]:
        """Return in a word each how a task's attempts ended."""
        return [attempt.ending for attempt in self.ledger.tasks.attempts(task_id)]

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.clock.advance(**by)

    def soon(self, **by: float) -> Any:
        """Return a moment to come."""
        return self.clock() + timedelta(**by)

    def run_sql(self, statement: str, **values: Any) -> list[Any]:
        """Go behind the ledger's back."""
        with self.ledger._database.engine.connect() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []


def states_of(ended: Sequence[Ended]) -> dict[str, str]:
    """Return in which state each task ended."""
    return {each.task_id: each.state for each in ended}
