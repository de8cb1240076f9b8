"""The bodies of answers, as OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

import orjson
from pydantic import BaseModel, ConfigDict, Field

from celeriac.core.file_reference import FileReference, find_file_ids, read_reference
from celeriac.core.page import Page
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Codec, Task, TaskError
from celeriac.core.tracebacks import Frame, trail_of
from celeriac.service.reports import TaskReport
from celeriac.service.tokens import AccessToken
from celeriac.service.waiting import WaitingBecause
from celeriac.web.downloads import with_links
from celeriac.web.readable import to_plain

Json = Any
# Of a function that calls itself there may be a thousand; the last ones tell most.
_MOST_FRAMES = 6
_BEARER: Literal["bearer"] = "bearer"
Status = Literal["pending", "completed", "failed", "cancelled", "expired"]
_FINAL_WORDS: dict[TaskState, Status] = {
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
    TaskState.EXPIRED: "expired",
}


class FieldProblemOut(BaseModel):
    """What is wrong with one field of a request."""

    pointer: Annotated[
        str, Field(description="A JSON pointer (RFC 6901) to the field, or / and an option's name.")
    ]
    detail: str


class Problem(BaseModel):
    """Why a request was refused or failed (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong, in a sentence for people.")]
    instance: Annotated[str, Field(description="The path of the request.")]
    code: Annotated[str, Field(description="What is wrong, in a word that never changes.")]
    errors: list[FieldProblemOut] | None = None
    fix: Annotated[str | None, Field(description="What helps, where one thing does.")] = None


class TokenOut(BaseModel):
    """An access token."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds from now.")]

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """Return the body that hands out a token."""
        seconds = int(token.lifetime.total_seconds())
        return cls(access_token=token.text, token_type=_BEARER, expires_in=seconds)


class FrameOut(BaseModel):
    """A place in a task's own code."""

    file: str
    line: int
    function: Annotated[str, Field(description="Empty outside of any.")]

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """Return a place as a caller reads it."""
        return cls(file=_clean(frame.file), line=frame.line, function=_clean(frame.function))


class TaskErrorOut(BaseModel):
    """Why a task failed."""

    kind: ErrorKind
    type: Annotated[str, Field(description="The exception's class; empty when there is none.")]
    message: str
    trail: Annotated[
        list[FrameOut],
        Field(
            description="Where in the task's own code it was raised, the last place last; "
            "empty in lists and events, and where nobody knows."
        ),
    ]

    @classmethod
    def of(cls, error: TaskError, *, is_whole: bool = False) -> Self:
        """Return what a caller is told of a failure; its trail only if it is to be whole."""
        trail = trail_of(error.traceback)[-_MOST_FRAMES:] if is_whole else ()
        return cls(
            kind=error.kind,
            type=error.type,
            message=_clean(error.message),
            trail=[FrameOut.of(each) for each in trail],
        )


class TaskOut(BaseModel):
    """One submitted run of a task function."""

    # Always there, so that a generated client reads them without asking whether they are.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    task_id: str
    status: Annotated[
        Status, Field(description="`pending` until the task has ended, then how it ended.")
    ]
    result: Annotated[Json, Field(description="What the function returned, once it completed.")]
    error: TaskErrorOut | None
    name: str
    state: TaskState
    waiting_because: Annotated[
        WaitingBecause | None, Field(description="Why it does not run yet, where it can be told.")
    ]
    queue: str
    queued_before: Annotated[
        int | None,
        Field(
            description="How many tasks of its queue go before it; 1001 is more than 1,000. Null "
            "in lists and events, and for a task that is not queued or about to be taken."
        ),
    ]
    priority: Annotated[int, Field(description="0 to 9, 9 first.")]
    attempt: Annotated[int, Field(description="Attempts begun so far.")]
    max_attempts: int | None
    worker: Annotated[
        str | None, Field(description="The worker that runs it, or that ran it last.")
    ]
    progress: Annotated[Json, Field(description="What the task last told of itself.")]
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    ignored: Annotated[
        bool, Field(description="The function asked that its end be ignored: there is no result.")
    ]
    version: Annotated[int, Field(description="Rises by 1 with every change.")]
    tags: list[str]
    retry_of: str | None
    submitted_by: str | None

    @classmethod
    def of(cls, report: TaskReport, *, is_whole: bool = False) -> Self:
        """Return a task as a caller reads it.

        Args:
            report: The task.
            is_whole: With what takes room, and that only who asks for this one task needs.
        """
        return cls(**_task_fields(report, is_whole=is_whole))

    @classmethod
    def text_of(cls, report: TaskReport, *, is_whole: bool = False) -> str:
        """Return the same as a JSON text: without the model, which would check what is ours."""
        fields = _task_fields(report, is_whole=is_whole)
        try:
            return orjson.dumps(fields, default=_plain, option=orjson.OPT_UTC_Z).decode()
        # A number in a result may have any number of digits.
        except TypeError:
            return cls(**fields).model_dump_json()


class TaskPageOut(BaseModel):
    """One page of tasks, newest first."""

    tasks: list[TaskOut]
    next_page_token: Annotated[
        str, Field(description="Send it as page_token for the next page; empty on the last.")
    ]

    @classmethod
    def of(cls, page: Page[TaskReport], *, next_page_token: str) -> Self:
        """Return a page as a caller reads it."""
        tasks = [TaskOut.of(report) for report in page.items]
        return cls(tasks=tasks, next_page_token=next_page_token)


class HealthOut(BaseModel):
    """That the service is alive, or ready."""

    status: Literal["ok"]


def result_of(task: Task) -> Json:
    """Return a task's result as a caller reads it: of a file, what it is and where it is read."""
    plain = to_plain(task.result, task.result_codec)
    if not find_file_ids(task.result):
        return plain
    return with_links(plain, lambda each: f"/tasks/{quote(task.id, safe='')}/files/{each.id}")


def reference_of(task: Task) -> FileReference | None:
    """Return the file that a task's result is; None when it is none, or has some in it."""
    if not find_file_ids(task.result):
        return None
    return read_reference(to_plain(task.result, task.result_codec))


def status_word(state: TaskState) -> Status:
    """Return the word for a state that only tells whether, and how, a task has ended."""
    return _FINAL_WORDS.get(state, "pending")


def _task_fields(report: TaskReport, *, is_whole: bool) -> dict[str, Any]:
    task = report.task
    return {
        "task_id": task.id,
        "status": status_word(task.state),
        "result": result_of(task),
        "error": TaskErrorOut.of(task.error, is_whole=is_whole) if task.error else None,
        "name": task.name,
        "state": task.state,
        "waiting_because": report.waiting_because,
        "queue": task.queue,
        "queued_before": report.queued_before,
        "priority": task.priority,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "worker": task.worker,
        "progress": _progress(task),
        "created_at": task.created_at,
        "not_before": task.not_before,
        "expires_at": task.expires_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "cancel_requested_at": task.cancel_requested_at,
        "ignored": task.is_ignored,
        "version": task.version,
        "tags": list(task.tags),
        "retry_of": task.retry_of,
        "submitted_by": task.submitted_by,
    }


def _plain(value: BaseModel) -> dict[str, Json]:
    return value.model_dump(mode="json")


def _progress(task: Task) -> Json:
    told = to_plain(task.progress, Codec.TYPED)
    return told.get("meta") if isinstance(told, dict) else None


def _clean(text: str) -> str:
    # An exception may say anything, half a surrogate pair too.
    return text.encode("utf-8", errors="replace").decode("utf-8")
