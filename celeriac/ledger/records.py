"""How the core's values stand in rows, and how rows become values again."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import ColumnElement, Table

from celeriac.core.moments import from_micros, to_micros
from celeriac.core.outcome import Ended
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import (
    Arguments,
    Attempt,
    Codec,
    Doorbell,
    NewTask,
    Task,
    TaskError,
    TaskId,
    Twin,
)
from celeriac.ledger.incoming import FLAG, REAL, TEXT, WHOLE, Columns
from celeriac.ledger.tables import attempts, tasks

# What a new task's row is given, beside what every row begins with.
NEW_TASK_COLUMNS: Columns = {
    "id": TEXT,
    "name": TEXT,
    "queue": TEXT,
    "priority": WHOLE,
    "state": TEXT,
    "codec": TEXT,
    "arguments": TEXT,
    "headers": TEXT,
    "max_attempts": WHOLE,
    "retries": WHOLE,
    "max_crashes": WHOLE,
    "not_before": WHOLE,
    "queued_at": WHOLE,
    "ring_due_at": WHOLE,
    "expires_at": WHOLE,
    "upstream_id": TEXT,
    "root_id": TEXT,
    "parent_id": TEXT,
    "group_id": TEXT,
    "group_index": WHOLE,
    "chord_id": TEXT,
    "retry_of": TEXT,
    "submitted_by": TEXT,
    "tags": TEXT,
    "timeout_seconds": REAL,
    "soft_timeout_seconds": REAL,
    "at_most_once": FLAG,
    "ignore_result": FLAG,
}


def row_from_new_task(
    task: NewTask,
    *,
    state: TaskState,
    created_at: int,
    queued_at: int | None,
    ring_due_at: int | None,
) -> dict[str, object]:
    """Return a new task as a row of `NEW_TASK_COLUMNS`, and when it was created."""
    return {
        "created_at": created_at,
        "id": task.id,
        "name": task.name,
        "queue": task.queue,
        "priority": task.priority,
        "state": state.value,
        "codec": task.arguments.codec.value,
        "arguments": task.arguments.text,
        "headers": task.headers,
        "max_attempts": task.max_attempts,
        "retries": task.retries,
        "max_crashes": task.max_crashes,
        "not_before": to_micros(task.not_before),
        "queued_at": queued_at,
        "ring_due_at": ring_due_at,
        "expires_at": to_micros(task.expires_at),
        "upstream_id": task.upstream_id if state is TaskState.WAITING else None,
        "root_id": task.root_id,
        "parent_id": task.parent_id,
        "group_id": task.group_id,
        "group_index": task.group_index,
        "chord_id": task.chord_id,
        "retry_of": task.retry_of,
        "submitted_by": task.submitted_by,
        "tags": text_from_words(task.tags),
        "timeout_seconds": task.timeout_seconds,
        "soft_timeout_seconds": task.soft_timeout_seconds,
        "at_most_once": task.at_most_once,
        "ignore_result": task.ignore_result,
    }


def doorbell_of(task: NewTask | Twin) -> Doorbell:
    """Return the doorbell of a task that has just been queued."""
    facts = task.like if isinstance(task, Twin) else task
    return Doorbell(task.id, facts.name, facts.queue, facts.priority)


def text_from_words(words: tuple[str, ...]) -> str:
    """Return strings as the JSON array in which they are kept."""
    return orjson.dumps(words).decode() if words else "[]"


def words_from_text(text: str) -> tuple[str, ...]:
    """Return the strings of a kept JSON array."""
    return () if text == "[]" else tuple(orjson.loads(text))


def text_from_error(error: TaskError | None) -> str | None:
    """Return an error as the JSON object in which it is kept.

    Its texts come from anybody's exceptions: half a surrogate pair in one must not lose the rest.
    """
    if error is None:
        return None
    facts = {
        "kind": str(error.kind),
        "type": error.type,
        "module": error.module,
        "message": error.message,
        "arguments": error.arguments,
        "traceback": error.traceback,
    }
    try:
        return orjson.dumps(facts).decode()
    except TypeError:
        sound = {key: text.encode(errors="replace").decode() for key, text in facts.items()}
        return orjson.dumps(sound).decode()


def error_from_text(text: str | None) -> TaskError | None:
    """Return the error of a kept JSON object."""
    if text is None:
        return None
    facts = orjson.loads(text)
    return TaskError(
        kind=ErrorKind(facts["kind"]),
        type=facts["type"],
        module=facts["module"],
        message=facts["message"],
        arguments=facts["arguments"],
        traceback=facts["traceback"],
    )


def _columns(table: Table, names: str) -> tuple[ColumnElement[Any], ...]:
    return tuple(table.c[name] for name in names.split())


# In the order of `task_from_row`.
TASK_COLUMNS = _columns(
    tasks,
    "id name codec arguments queue priority headers state version attempt max_attempts"
    " retries crashes created_at not_before expires_at started_at finished_at"
    " cancel_requested_at result result_codec error is_ignored progress worker upstream_id"
    " root_id parent_id group_id retry_of submitted_by tags timeout_seconds soft_timeout_seconds"
    " at_most_once",
)


def task_from_row(row: Any) -> Task:
    """Return the task of a row of `TASK_COLUMNS`."""
    return Task(
        id=TaskId(row[0]),
        name=row[1],
        arguments=Arguments(codec=Codec(row[2]), text=row[3]),
        queue=row[4],
        priority=row[5],
        headers=row[6],
        state=TaskState(row[7]),
        version=row[8],
        attempt=row[9],
        max_attempts=row[10],
        retries=row[11],
        crashes=row[12],
        created_at=from_micros(row[13]),
        not_before=from_micros(row[14]),
        expires_at=from_micros(row[15]),
        started_at=from_micros(row[16]),
        finished_at=from_micros(row[17]),
        cancel_requested_at=from_micros(row[18]),
        result=row[19],
        result_codec=Codec(row[20]),
        error=error_from_text(row[21]),
        is_ignored=bool(row[22]),
        progress=row[23],
        worker=row[24],
        upstream_id=row[25],
        root_id=row[26],
        parent_id=row[27],
        group_id=row[28],
        retry_of=row[29],
        submitted_by=row[30],
        tags=words_from_text(row[31]),
        timeout_seconds=row[32],
        soft_timeout_seconds=row[33],
        at_most_once=bool(row[34]),
    )


# In the order of `ClaimedTask`.
CLAIMED_COLUMNS = _columns(
    tasks,
    "id name queue priority codec arguments headers lease_token attempt max_attempts retries"
    " crashes max_crashes timeout_seconds soft_timeout_seconds expires_at ignore_result"
    " root_id parent_id group_id group_index",
)


# In the order of `attempt_from_row`.
ATTEMPT_COLUMNS = _columns(attempts, "task_id number worker started_at finished_at ending error")


def attempt_from_row(row: Any) -> Attempt:
    """Return the attempt of a row of `ATTEMPT_COLUMNS`."""
    return Attempt(
        task_id=TaskId(row[0]),
        number=row[1],
        worker=row[2],
        started_at=from_micros(row[3]),
        finished_at=from_micros(row[4]),
        ending=row[5],
        error=error_from_text(row[6]),
    )


# In the order of `doorbell_from_row`.
DOORBELL_COLUMNS: tuple[ColumnElement[Any], ...] = (
    tasks.c.id,
    tasks.c.name,
    tasks.c.queue,
    tasks.c.priority,
)


def doorbell_from_row(row: Any) -> Doorbell:
    """Return the doorbell of a row of `DOORBELL_COLUMNS`."""
    return Doorbell(task_id=TaskId(row[0]), name=row[1], queue=row[2], priority=row[3])


# What `ended_from_row` asks for, by name.
ENDED_COLUMNS: tuple[ColumnElement[Any], ...] = (
    tasks.c.id,
    tasks.c.state,
    tasks.c.finished_at,
    tasks.c.result,
    tasks.c.result_codec,
    tasks.c.error,
)


def ended_from_row(row: Any) -> Ended:
    """Return the end of a row that has `ENDED_COLUMNS`, among others."""
    return Ended(
        task_id=row.id,
        state=row.state,
        result=row.result,
        result_codec=Codec(row.result_codec),
        error=error_from_text(row.error),
        finished_at=from_micros(row.finished_at),
    )
