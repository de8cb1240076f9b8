"""Each call of the HTTP contract, described once: pure functions that no transport is known to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from celeriac.client.attachments import has_files
from celeriac.client.outcomes import outcomes_from_body
from celeriac.client.remote_queue import queue_from_body, queues_from_body
from celeriac.client.remote_task import (
    RemoteTask,
    TaskPage,
    task_type_from_body,
    task_types_from_body,
)
from celeriac.core.queue import Queue
from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.core.task_type import TaskType
from celeriac.errors import CeleriacError

# Longer than this no service waits.
MOST_WAIT_SECONDS = 60

Json = Any
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Answer]):
    """One request, and what its answer becomes."""

    method: str
    # Under the service's address; every part that came from outside is quoted.
    path: str
    # What the body of a good answer stands for.
    read: Callable[[Json], Answer]
    params: tuple[tuple[str, str], ...] = ()
    # The JSON body; None sends none.
    body: Json = None
    # Named arguments with files among them, sent as a form in place of a body.
    form: Mapping[str, Any] | None = None
    # What the caller asked about, for the errors that keep such facts.
    facts: Mapping[str, str] = field(default_factory=dict)
    # By which the service knows the same request again; None is each time a new one.
    idempotency_key: str | None = None
    # How long the service shall wait for the task's end before it answers; 0 is not at all.
    wait_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How a task shall be run; None leaves it to the service."""

    queue: str | None = None
    # 0 to 9, 9 first.
    priority: int | None = None
    delay: timedelta | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    max_attempts: int | None = None
    timeout: timedelta | None = None
    tags: tuple[str, ...] = ()
    unique_for: timedelta | None = None

    def to_params(self) -> tuple[tuple[str, str], ...]:
        """Return what is given as the query's parameters."""
        named = tuple((name, str(value)) for name, value in self._given().items())
        return named + tuple(("tag", tag) for tag in self.tags)

    def to_body(self) -> dict[str, Json]:
        """Return what is given as the options of a batch's task."""
        return {**self._given(), **({"tags": list(self.tags)} if self.tags else {})}

    def _given(self) -> dict[str, Json]:
        given = {
            "queue": self.queue,
            "priority": self.priority,
            "delay_seconds": _seconds(self.delay),
            "not_before": _text(self.not_before),
            "expires_at": _text(self.expires_at),
            "max_attempts": self.max_attempts,
            "timeout_seconds": _seconds(self.timeout),
            "unique_for_seconds": _seconds(self.unique_for),
        }
        return {name: value for name, value in given.items() if value is not None}


def submit(
    name: str,
    arguments: Mapping[str, Any],
    options: SubmitOptions,
    *,
    idempotency_key: str | None = None,
    wait: timedelta | None = None,
) -> Call[RemoteTask]:
    """Return the call that submits a task, as a form where files are among its arguments."""
    is_form = has_files(arguments)
    return Call(
        method="POST",
        path=f"/tasks/{quote(name, safe='')}",
        params=options.to_params(),
        body=None if is_form else dict(arguments),
        form=dict(arguments) if is_form else None,
        read=RemoteTask.from_body,
        facts={"name": name},
        idempotency_key=idempotency_key,
        wait_seconds=_wait(wait),
    )


def submit_many(
    tasks: Sequence[tuple[str, Mapping[str, Json]]],
    options: SubmitOptions,
    *,
    idempotency_key: str | None = None,
    is_atomic: bool = False,
) -> Call[tuple[TaskId | CeleriacError, ...]]:
    """Return the call that submits many tasks in one commit, at most 1,000."""
    given = options.to_body()
    listed = [
        {"name": name, "arguments": dict(arguments), **({"options": given} if given else {})}
        for name, arguments in tasks
    ]
    return Call(
        method="POST",
        path="/tasks:batch",
        params=(("atomic", "true"),) if is_atomic else (),
        body={"tasks": listed},
        read=outcomes_from_body,
        idempotency_key=idempotency_key,
    )


def get_result(task_id: str) -> Call[None]:
    """Return the call that reads a task's bare result: a file, or JSON."""
    return Call(
        method="GET",
        path=f"{_task(task_id)}/result",
        read=lambda _: None,
        facts={"task_id": task_id},
    )


def get_task(task_id: str, *, wait: timedelta | None = None) -> Call[RemoteTask]:
    """Return the call that reads a task, once it has ended or after some time."""
    return Call(
        method="GET",
        path=_task(task_id),
        read=RemoteTask.from_body,
        facts={"task_id": task_id},
        wait_seconds=_wait(wait),
    )


def listen_to_task(task_id: str) -> Call[None]:
    """Return the call whose answer tells a task's changes as they happen, until it has ended."""
    return Call(
        method="GET",
        path=f"{_task(task_id)}/events",
        read=lambda _: None,
        facts={"task_id": task_id},
    )


def cancel_task(task_id: str) -> Call[RemoteTask]:
    """Return the call that cancels a task."""
    return Call(
        method="POST",
        path=f"{_task(task_id)}/cancel",
        read=RemoteTask.from_body,
        facts={"task_id": task_id},
    )


def retry_task(task_id: str, changes: Mapping[str, Json]) -> Call[RemoteTask]:
    """Return the call that runs a task again as a new one."""
    return Call(
        method="POST",
        path=f"{_task(task_id)}/retry",
        body=dict(changes) or None,
        read=RemoteTask.from_body,
        facts={"task_id": task_id},
    )


def list_tasks(
    *,
    states: tuple[TaskState, ...] = (),
    name: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
    page_token: str = "",
) -> Call[TaskPage]:
    """Return the call that reads a page of tasks."""
    given = {
        "name": name,
        "queue": queue,
        "tag": tag,
        "since": _text(since),
        "limit": str(limit),
        "page_token": page_token or None,
    }
    params = tuple(("state", state.value) for state in states)
    params += tuple((key, value) for key, value in given.items() if value is not None)
    return Call(method="GET", path="/tasks", params=params, read=TaskPage.from_body)


def list_task_types() -> Call[tuple[TaskType, ...]]:
    """Return the call that reads everything that can be submitted."""
    return Call(method="GET", path="/task-types", read=task_types_from_body)


def get_task_type(name: str) -> Call[TaskType]:
    """Return the call that reads what one task name stands for."""
    return Call(
        method="GET",
        path=f"/task-types/{quote(name, safe='')}",
        read=task_type_from_body,
        facts={"name": name},
    )


def list_queues() -> Call[tuple[Queue, ...]]:
    """Return the call that reads how the queues stand."""
    return Call(method="GET", path="/queues", read=queues_from_body)


def pause_queue(name: str, reason: str) -> Call[Queue]:
    """Return the call that pauses a queue."""
    return Call(
        method="POST",
        path=f"/queues/{quote(name, safe='')}/pause",
        body={"reason": reason},
        read=queue_from_body,
        facts={"name": name},
    )


def resume_queue(name: str) -> Call[Queue]:
    """Return the call that resumes a queue."""
    return Call(
        method="POST",
        path=f"/queues/{quote(name, safe='')}/resume",
        read=queue_from_body,
        facts={"name": name},
    )


def _task(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _wait(duration: timedelta | None) -> int:
    """Return how long the service may wait, in whole seconds as it takes them."""
    if duration is None:
        return 0
    return max(0, min(math.ceil(duration.total_seconds()), MOST_WAIT_SECONDS))


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
