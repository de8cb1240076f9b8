"""A task, what it takes to make one, and one attempt at running it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

from celeriac.core.moments import from_micros
from celeriac.core.state import ErrorKind, TaskState

TaskId = NewType("TaskId", str)

DEFAULT_PRIORITY = 5
DEFAULT_QUEUE = "default"
DEFAULT_MAX_CRASHES = 3


class Codec(StrEnum):
    """How a JSON text carries values that JSON itself does not know."""

    # Plain JSON, as it came over HTTP: what looks like an object is an object.
    JSON = "json"
    # Celery's typed JSON: datetime, Decimal, UUID and bytes come back as they went.
    TYPED = "typed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a task function is called with."""

    codec: Codec
    # A JSON array of two: the positional arguments as an array, the named ones as an object.
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why an attempt, or the whole task, failed."""

    kind: ErrorKind
    # The exception's class, by its qualified name, and the module it lives in.
    type: str = ""
    module: str = ""
    # The sentence for people.
    message: str = ""
    # The exception's own arguments as a JSON array, from which a caller builds it again.
    arguments: str = "[]"
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """Everything that is known of a task before it exists."""

    id: TaskId
    # The name under which its function is registered.
    name: str
    arguments: Arguments
    queue: str = DEFAULT_QUEUE
    # 0 to 9, 9 first.
    priority: int = DEFAULT_PRIORITY
    # What Celery sends beside the arguments (links, chain, chord, stamps, shadow, origin …), as a
    # JSON object in Celery's typed JSON. What runs is what stands here, never what a message says.
    headers: str = "{}"
    # Created as `waiting`: its turn comes with the completion of `upstream_id`.
    is_waiting: bool = False
    # What it waits for: a task's id, or a chord's. Set exactly when it waits.
    upstream_id: str | None = None
    # Not queued before this moment; None is at once.
    not_before: datetime | None = None
    # Not claimed after this moment; None is never.
    expires_at: datetime | None = None
    # Attempts in all, for retries that the service decides; None leaves it to the task function.
    max_attempts: int | None = None
    # How often a process may die under it before it is given up.
    max_crashes: int = DEFAULT_MAX_CRASHES
    # Limits of one attempt; None leaves them to the task function.
    timeout_seconds: float | None = None
    soft_timeout_seconds: float | None = None
    # How often Celery's retry has sent it already.
    retries: int = 0
    # Never run again once claimed.
    at_most_once: bool = False
    ignore_result: bool = False
    # Its place in a canvas.
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    # Its position among the group's results.
    group_index: int | None = None
    # The chord whose header this task is a part of: its end counts there.
    chord_id: str | None = None
    # The task it runs again, after that one had ended.
    retry_of: TaskId | None = None
    # The user's name; None when a program with access to the ledger submitted it.
    submitted_by: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Twin:
    """A new task that is like another one in all but its id and its arguments.

    A batch holds many of them: to say thirty facts of each again takes longer than to keep it.
    """

    id: TaskId
    # In the same codec as those of the other one.
    arguments: Arguments
    # If this one is its own root, so is the twin.
    like: NewTask

    @property
    def root_id(self) -> str | None:
        """The first task of the canvas that it belongs to."""
        return self.id if self.like.root_id == self.like.id else self.like.root_id

    def to_new_task(self) -> NewTask:
        """Return the same task with every fact of its own."""
        return replace(self.like, id=self.id, arguments=self.arguments, root_id=self.root_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One submitted run of a task function, as the ledger knows it now."""

    id: TaskId
    name: str
    arguments: Arguments
    queue: str
    priority: int
    headers: str
    state: TaskState
    # Rises by one with every change a reader can see.
    version: int
    # Attempts begun so far.
    attempt: int
    max_attempts: int | None
    # How often Celery's retry has sent it.
    retries: int
    # How often a process died under it.
    crashes: int
    created_at: datetime
    # When it may be queued, while it is scheduled.
    not_before: datetime | None = None
    expires_at: datetime | None = None
    # When its last attempt began, and when the task ended.
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    # The result as JSON, and how to read it; None until it completed.
    result: str | None = None
    result_codec: Codec = Codec.JSON
    error: TaskError | None = None
    # The function raised Celery's Ignore: it completed without a result.
    is_ignored: bool = False
    # What the task last told of itself: {"state": …, "meta": …} as typed JSON.
    progress: str | None = None
    # The worker that holds or last held it.
    worker: str | None = None
    upstream_id: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    retry_of: TaskId | None = None
    submitted_by: str | None = None
    tags: tuple[str, ...] = ()
    # Limits of one attempt; None leaves them to the task function.
    timeout_seconds: float | None = None
    soft_timeout_seconds: float | None = None
    # Never run again once claimed.
    at_most_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a look at many tasks tells of each, without its arguments and its result."""

    id: TaskId
    name: str
    state: TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at running a task, after it ended."""

    task_id: TaskId
    # Counted from 1.
    number: int
    worker: str
    started_at: datetime
    finished_at: datetime
    # How it ended, in one word: completed, failed, retried, cancelled, lost, returned.
    ending: str
    error: TaskError | None = None


class ClaimedTask(NamedTuple):
    """What a worker gets when its claim is granted: all it needs to run the task.

    A tuple of what JSON has, as the row says it: so it goes from the row to the process that runs
    it, through several hands, and none of them has to take it apart and put it together again.
    """

    id: TaskId
    name: str
    queue: str
    priority: int
    arguments_codec: str
    arguments_text: str
    headers: str
    # The right to complete it: random, and never issued twice.
    lease_token: str
    attempt: int
    max_attempts: int | None
    retries: int
    crashes: int
    max_crashes: int
    timeout_seconds: float | None
    soft_timeout_seconds: float | None
    # Microseconds since 1970, UTC.
    expires_micros: int | None
    ignore_result: bool
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None

    @property
    def arguments(self) -> Arguments:
        """What its function is called with."""
        return Arguments(codec=Codec(self.arguments_codec), text=self.arguments_text)

    @property
    def expires_at(self) -> datetime | None:
        """The moment before which it has to begin."""
        return from_micros(self.expires_micros)


class Doorbell(NamedTuple):
    """That a task is ready, and where: all that the broker is told.

    A tuple, which takes a third of the time: every accepted task makes one.
    """

    task_id: TaskId
    name: str
    queue: str
    priority: int
