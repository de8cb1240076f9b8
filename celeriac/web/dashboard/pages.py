"""What the pages show, in the words of people: pure functions of values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.core.file_reference import read_reference
from celeriac.core.queue import command_to_serve
from celeriac.core.state import TaskState
from celeriac.core.task import Attempt, Codec, Task
from celeriac.service.reports import TaskReport
from celeriac.service.waiting import WaitingBecause
from celeriac.web.dashboard.failures import Failure, Try, attempt_of, failure_of
from celeriac.web.dashboard.shown_files import ShownFile, files_of, with_names
from celeriac.web.dashboard.texts import (
    Moment,
    clean,
    length,
    moment,
    readable,
    to_lines,
    whole_length,
)
from celeriac.web.readable import to_plain
from celeriac.wording import as_typed_here

Json = Any

# More than this of a result makes a page slow; the rest is in the download.
MOST_SHOWN = 20_000
_MOST_IN_ROW = 140
_WHY = {
    WaitingBecause.UPSTREAM: "It waits for another task to complete.",
    WaitingBecause.SCHEDULED: "Its time has not come.",
    WaitingBecause.RETRY_BACKOFF: "It pauses before its next attempt.",
    WaitingBecause.QUEUE_PAUSED: "Its queue is paused.",
    WaitingBecause.NO_WORKER_LISTENS: "No worker serves its queue.",
    WaitingBecause.NO_WORKER_KNOWS_IT: "No worker of its queue knows its function.",
    WaitingBecause.WORKERS_BUSY: "Every worker of its queue is busy.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task says it is."""

    # None when it does not say of how much.
    percent: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task in the list."""

    id: str
    short_id: str
    name: str
    state: str
    queue: str
    attempts: str
    created: Moment
    submitted_by: str
    progress: Progress | None
    # What is worth a glance: what went wrong, what it waits for.
    note: str
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that is shown of one task."""

    row: Row
    # The state's sentence: what happens, or why nothing does.
    story: str
    facts: tuple[tuple[str, str], ...]
    started: Moment | None
    finished: Moment | None
    arguments: str
    result: str
    has_result: bool
    is_result_cut: bool
    # The whole result is one file, and there is nothing else to show of it.
    is_result_file: bool
    result_files: tuple[ShownFile, ...]
    argument_files: tuple[ShownFile, ...]
    failure: Failure | None
    attempts: tuple[Try, ...]
    is_cancellable: bool
    is_stopping: bool
    is_repeatable: bool


def row_of(report: TaskReport, *, now: datetime) -> Row:
    """Return a task as a row of the list."""
    task = report.task
    return Row(
        id=task.id,
        # Ids begin with the time: the first half of those of one minute is the same.
        short_id=task.id if len(task.id) <= 12 else f"…{task.id[-8:]}",
        name=task.name,
        state=task.state.value,
        queue=task.queue,
        attempts=attempts_of(task),
        created=moment(task.created_at, now=now),
        submitted_by=task.submitted_by or "",
        progress=progress_of(task),
        note=_note(report, now=now),
        is_over=task.state.is_final,
    )


def detail_of(report: TaskReport, attempts: Sequence[Attempt], *, now: datetime) -> Detail:
    """Return a task as its page shows it."""
    task = report.task
    value = to_plain(task.result, task.result_codec)
    result = readable(with_names(value)) if task.result is not None else ""
    is_stopping = task.cancel_requested_at is not None and not task.state.is_final
    return Detail(
        row=row_of(report, now=now),
        story=story_of(report, now=now),
        facts=_facts(task),
        started=None if task.started_at is None else moment(task.started_at, now=now),
        finished=None if task.finished_at is None else moment(task.finished_at, now=now),
        arguments=_arguments(task),
        result=result[:MOST_SHOWN],
        has_result=task.state is TaskState.COMPLETED and not task.is_ignored,
        is_result_cut=len(result) > MOST_SHOWN,
        is_result_file=read_reference(value) is not None,
        result_files=files_of(value, task),
        argument_files=files_of(json.loads(task.arguments.text), task),
        failure=None if task.error is None else failure_of(task.error),
        # The last one is what one came for.
        attempts=tuple(attempt_of(each, now=now) for each in reversed(attempts)),
        is_cancellable=not task.state.is_final and not is_stopping,
        is_stopping=is_stopping,
        is_repeatable=kwargs_of(task) is not None,
    )


def story_of(report: TaskReport, *, now: datetime) -> str:
    """Return what happens with a task, or why nothing does, in a sentence."""
    task = report.task
    if task.state.is_final:
        return _end(task)
    if task.state is TaskState.RUNNING:
        if task.cancel_requested_at is not None:
            return "It was asked to stop."
        return f"Attempt {task.attempt} runs on {task.worker}."
    if report.waiting_because is None:
        return "A worker will take it in a moment."
    why = _WHY[report.waiting_because]
    if report.waiting_because is WaitingBecause.NO_WORKER_LISTENS:
        start = as_typed_here(command_to_serve(task.queue))
        return f"No worker serves the queue {task.queue}: `{start}` starts one."
    if report.waiting_because is WaitingBecause.NO_WORKER_KNOWS_IT:
        return (
            f"No worker of the queue {task.queue} knows {task.name}: "
            "start one with the code that has it."
        )
    if task.not_before is not None and task.state is TaskState.SCHEDULED:
        return f"{why} It starts in {whole_length(task.not_before - now)}."
    return why


def not_done(act: str, detail: Detail) -> str:
    """Return what to say of an act that met an ended session: cancel, or run it again.

    Empty when there is nothing to say: it is no such act, or makes no sense any more.
    """
    if act == "cancel" and detail.is_cancellable:
        return "The task was not cancelled: you had been signed out. Cancel does it now."
    if act == "cancel" and detail.row.is_over and detail.row.state != TaskState.CANCELLED:
        return "The task was not cancelled: you had been signed out. It has ended since."
    if act == "instead" and detail.is_cancellable:
        return "The task was not run in another queue: you had been signed out."
    if act == "again" and detail.row.is_over and detail.is_repeatable:
        return "The task was not run again: you had been signed out. Run again does it now."
    return ""


def progress_of(task: Task) -> Progress | None:
    """Return how far a running task is, None when it does not say."""
    if task.state is not TaskState.RUNNING or task.progress is None:
        return None
    told = to_plain(task.progress, Codec.TYPED)
    meta = told.get("meta") if isinstance(told, dict) else None
    if not isinstance(meta, dict):
        return None
    return Progress(
        percent=_percent(meta.get("done"), meta.get("total")), message=str(meta.get("message", ""))
    )


def kwargs_of(task: Task) -> dict[str, Json] | None:
    """Return the named arguments that make the same task again, None when names do not suffice."""
    if task.arguments.codec is not Codec.JSON:
        return None
    args, kwargs = json.loads(task.arguments.text)
    return None if args else kwargs


def attempts_of(task: Task) -> str:
    """Return how often a task was tried, and of how many times."""
    most = task.max_attempts
    return f"{task.attempt} of {most}" if most is not None else str(task.attempt)


def _end(task: Task) -> str:
    took = ""
    if task.started_at is not None and task.finished_at is not None:
        took = f" after {length(task.finished_at - task.started_at)}"
    tries = f" in attempt {task.attempt}" if task.attempt > 1 else ""
    match task.state:
        case TaskState.COMPLETED:
            return f"Completed{tries}{took}."
        case TaskState.FAILED:
            return f"Failed{tries}{took}."
        case TaskState.CANCELLED:
            return f"Cancelled{took}." if task.attempt else "Cancelled before it began."
        case _:
            return "Expired before it began."


def _note(report: TaskReport, *, now: datetime) -> str:
    task = report.task
    if task.error is not None and task.state is TaskState.FAILED:
        failure = failure_of(task.error)
        return _cut(f"{failure.title}: {failure.message}" if failure.message else failure.title)
    if report.waiting_because is not None:
        return story_of(report, now=now)
    return ""


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_IN_ROW else f"{line[: _MOST_IN_ROW - 1]}…"


def _percent(done: Json, total: Json) -> int | None:
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return max(0, min(100, int(100 * done / total)))


def _facts(task: Task) -> tuple[tuple[str, str], ...]:
    found = (
        ("Queue", task.queue),
        ("Priority", str(task.priority)),
        ("Attempts", attempts_of(task)),
        ("Worker", task.worker or ""),
        ("Submitted by", task.submitted_by or ""),
        ("Tags", ", ".join(task.tags)),
    )
    return tuple((name, value) for name, value in found if value)


def _arguments(task: Task) -> str:
    args, kwargs = to_plain(task.arguments.text, task.arguments.codec)
    shown = kwargs if not args else {"args": args, "kwargs": kwargs} if kwargs else args
    return clean(to_lines(with_names(shown)))
