"""What a caller hands in to be accepted, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, NewTask, Task, TaskId, Twin
from celeriac.errors import (
    CeleriacError,
    FieldProblem,
    InvalidArgumentsError,
    InvalidBatchError,
    InvalidOptionError,
)


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """What all twins of one new task share that were accepted at the same time."""

    like: NewTask
    state: TaskState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    """A twin that was accepted."""

    twin: Twin
    together: Together

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.twin.id

    @property
    def state(self) -> TaskState:
        """The state in which it began."""
        return self.together.state

    def to_task(self) -> Task:
        """Return it with every fact of its own."""
        shared = self.together
        return task_as_accepted(
            self.twin.to_new_task(), state=shared.state, created_at=shared.created_at
        )


# What became of one task: as it was accepted, as it had been accepted before, or why not.
TaskOutcome = Task | Begun | CeleriacError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A name that the first who comes takes for a while; who comes later gets what the first got.

    Made for one caller: the same name of another caller is another reservation.
    """

    # 64 hexadecimal digits, which tell neither the caller nor the name.
    id: str
    # How long the name is taken.
    lifetime: timedelta
    # What is asked for under it: a later request that asks for something else is refused. Empty
    # where the name itself says all of it.
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTask:
    """A task to be accepted."""

    task: NewTask
    # Another task that was accepted under this name stands for this one.
    unique: Reservation | None = None


Wanted = WantedTask | Twin


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Tasks that one request hands in."""

    # Each of them, or why it cannot be one.
    tasks: Sequence[Wanted | CeleriacError]
    # The request comes again under the same name, when its answer was lost.
    once: Reservation | None = None
    # Makes the answer out of what became of each task; kept under `once`, and given again.
    to_answer: Callable[[Sequence[TaskOutcome]], str] = lambda _: ""
    # All of the tasks or none.
    is_atomic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a submission."""

    # For each task, in order; empty when the whole of it had been accepted before.
    outcomes: Sequence[TaskOutcome] = ()
    # Of those tasks that are ready to run by this.
    doorbells: Sequence[Doorbell] = ()
    # The answer that was made the first time, when it came under a name.
    answer: str | None = None


def task_as_accepted(task: NewTask, *, state: TaskState, created_at: datetime) -> Task:
    """Return a new task as its row is read right after it was put in."""
    return Task(
        id=task.id,
        name=task.name,
        arguments=task.arguments,
        queue=task.queue,
        priority=task.priority,
        headers=task.headers,
        state=state,
        version=1,
        attempt=0,
        max_attempts=task.max_attempts,
        retries=task.retries,
        crashes=0,
        created_at=created_at,
        not_before=task.not_before,
        expires_at=task.expires_at,
        root_id=task.root_id,
        parent_id=task.parent_id,
        group_id=task.group_id,
        retry_of=task.retry_of,
        submitted_by=task.submitted_by,
        tags=task.tags,
        timeout_seconds=task.timeout_seconds,
        soft_timeout_seconds=task.soft_timeout_seconds,
        at_most_once=task.at_most_once,
    )


def invalid_batch(outcomes: Sequence[TaskOutcome | Wanted]) -> InvalidBatchError:
    """Return the refusal of a batch that was to be all or nothing, of which some are refused."""
    problems: list[FieldProblem] = []
    for place, error in enumerate(outcomes):
        # Others were good, and are left out because of these.
        if not isinstance(error, CeleriacError) or isinstance(error, InvalidBatchError):
            continue
        named = problems_of(error) or (FieldProblem(pointer="", detail=str(error)),)
        problems += [
            FieldProblem(pointer=f"/tasks/{place}{each.pointer}", detail=each.detail)
            for each in named
        ]
    return InvalidBatchError(tuple(problems))


def problems_of(error: CeleriacError) -> tuple[FieldProblem, ...]:
    """Return which fields of a batch's task an error is about, by pointers into that task."""
    given: tuple[FieldProblem, ...] = getattr(error, "problems", ())
    above = next((word for kind, word in _ABOVE if isinstance(error, kind)), "")
    return tuple(FieldProblem(f"{above}{each.pointer}", each.detail) for each in given)


# Where in a task of a batch stands what these errors point into.
_ABOVE: tuple[tuple[type[CeleriacError], str], ...] = (
    (InvalidArgumentsError, "/arguments"),
    (InvalidOptionError, "/options"),
)
