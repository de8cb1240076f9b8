"""What the service tells, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskError, TaskId
from celeriac.core.task_type import TaskType
from celeriac.core.tracebacks import Frame
from celeriac.errors import TaskFailedError

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTask:
    """A task as its service told of it at one moment."""

    id: TaskId
    name: str
    state: TaskState
    queue: str
    priority: int
    # Attempts begun so far, and how many there may be; None leaves it to the task function.
    attempt: int
    max_attempts: int | None
    # The worker that runs it, or that ran it last.
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    # Why it does not run yet, where that can be told.
    waiting_because: str | None
    # How many tasks of its queue go before it, 1001 for all that are more than 1,000; None where it
    # is not queued or about to be taken, and in a list.
    queued_before: int | None
    # What it last told of itself, as {"done", "total", "message"} when it used progress().
    progress: Json
    # What its function returned, as JSON; None until it completed.
    result: Json
    error: TaskError | None
    # Where in its own code it failed, the last place last; empty in a list.
    trail: tuple[Frame, ...]
    tags: tuple[str, ...]
    retry_of: TaskId | None
    submitted_by: str | None
    # The whole answer, for what has no field here.
    body: Mapping[str, Json] = field(repr=False)

    @classmethod
    def from_body(cls, body: Mapping[str, Json]) -> Self:
        """Return the task in an answer's body."""
        retry_of = body.get("retry_of")
        return cls(
            id=TaskId(body["task_id"]),
            name=body["name"],
            state=TaskState(body["state"]),
            queue=body["queue"],
            priority=body["priority"],
            attempt=body["attempt"],
            max_attempts=body.get("max_attempts"),
            worker=body.get("worker"),
            created_at=datetime.fromisoformat(body["created_at"]),
            started_at=moment_from_text(body.get("started_at")),
            finished_at=moment_from_text(body.get("finished_at")),
            waiting_because=body.get("waiting_because"),
            queued_before=body.get("queued_before"),
            progress=body.get("progress"),
            result=body.get("result"),
            error=_error(body.get("error")),
            trail=_trail(body.get("error")),
            tags=tuple(body.get("tags") or ()),
            retry_of=TaskId(retry_of) if retry_of else None,
            submitted_by=body.get("submitted_by"),
            body=body,
        )

    def result_or_raise(self) -> Json:
        """Return the result of a task that has ended.

        Raises:
            TaskFailedError: It ended in another way.
        """
        if self.state is TaskState.COMPLETED:
            return self.result
        raise TaskFailedError(
            self.id,
            self.state.value,
            kind=self.error.kind.value if self.error else "",
            type_name=self.error.type if self.error else "",
            message=self.error.message if self.error else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Some tasks, newest first, and where the next ones begin."""

    tasks: tuple[RemoteTask, ...]
    # For `list(page_token=…)`; empty on the last page.
    next_page_token: str

    @classmethod
    def from_body(cls, body: Mapping[str, Json]) -> Self:
        """Return the page in an answer's body."""
        tasks = tuple(RemoteTask.from_body(each) for each in body["tasks"])
        return cls(tasks=tasks, next_page_token=body["next_page_token"])


def task_type_from_body(body: Mapping[str, Json]) -> TaskType:
    """Return the task type in an answer's body."""
    return TaskType(
        name=body["name"],
        title=body["title"],
        description=body["description"],
        schema=body["schema"],
        queue=body["queue"],
        max_attempts=body["max_attempts"],
        timeout_seconds=body["timeout_seconds"],
    )


def task_types_from_body(body: Mapping[str, Json]) -> tuple[TaskType, ...]:
    """Return the task types in an answer's body."""
    return tuple(task_type_from_body(each) for each in body["task_types"])


def moment_from_text(text: str | None) -> datetime | None:
    """Return a moment as answers write it; None stays None."""
    return None if text is None else datetime.fromisoformat(text)


def _error(body: Mapping[str, Json] | None) -> TaskError | None:
    if body is None:
        return None
    return TaskError(kind=ErrorKind(body["kind"]), type=body["type"], message=body["message"])


def _trail(error: Mapping[str, Json] | None) -> tuple[Frame, ...]:
    places = (error or {}).get("trail") or ()
    return tuple(Frame(each["file"], each["line"], each["function"]) for each in places)
