"""What the commands show of tasks: pure functions from values to lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeGuard
from urllib.parse import quote

from celeriac.cli.tables import table_lines
from celeriac.core.queue import command_to_serve
from celeriac.core.state import TaskState
from celeriac.core.task import TaskError
from celeriac.core.tracebacks import Frame

Json = Any

_BAR_CELLS = 18
_LONGEST_ERROR = 60
# The service counts no further.
_MOST_COUNTED = 1000
_WAITING = {
    "upstream": "waits for another task",
    "scheduled": "its time has not come",
    "retry_backoff": "pauses before its next attempt",
    "queue_paused": "its queue is paused",
    "no_worker_listens": "no worker serves this queue",
    "no_worker_knows_it": "no worker of this queue knows this task name",
    "workers_busy": "every worker of this queue is busy",
}


class ShownTask(Protocol):
    """What is shown of a task."""

    @property
    def id(self) -> str: ...  # noqa: D102 - as in core/task.py
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> TaskState: ...  # noqa: D102
    @property
    def queue(self) -> str: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def max_attempts(self) -> int | None: ...  # noqa: D102
    @property
    def worker(self) -> str | None: ...  # noqa: D102
    @property
    def queued_before(self) -> int | None: ...  # noqa: D102
    @property
    def created_at(self) -> datetime: ...  # noqa: D102
    @property
    def started_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def finished_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def waiting_because(self) -> str | None: ...  # noqa: D102
    @property
    def progress(self) -> Json: ...  # noqa: D102
    @property
    def error(self) -> TaskError | None: ...  # noqa: D102
    @property
    def trail(self) -> tuple[Frame, ...]: ...  # noqa: D102


def json_text(value: Json) -> str:
    """Return a value as JSON for people and programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def result_text(value: Json) -> str:
    """Return a result as data: one line of JSON."""
    return json.dumps(value, ensure_ascii=False)


def file_hint(task_id: str, result: Json) -> list[str]:
    """Return how to get the file that a task returned; nothing when it returned something else."""
    if not isinstance(result, dict) or not str(result.get("url", "")).startswith("/tasks/"):
        return []
    return [f"get it: celeriac get {task_id} --output {shlex.quote(str(result.get('name')))}"]


def unhappy_lines(task_id: str, *, url: str) -> list[str]:
    """Return what helps with a task that did not complete: its page, and another run."""
    return [
        f"look at it: {url}/ui/tasks/{quote(task_id, safe='')}",
        f"run it again: celeriac tasks retry {shlex.quote(task_id)}",
    ]


def task_table(tasks: Sequence[ShownTask], *, now: datetime, is_for_people: bool) -> list[str]:
    """Return a list of tasks: aligned and in short for people, whole and with tabs for programs."""
    heads = ("ID", "TASK", "STATE", "QUEUE", "ATTEMPT", "AGE", "ERROR")
    rows = [
        (
            task.id,
            task.name,
            task.state.value,
            task.queue,
            attempt_text(task),
            age_text(now - task.created_at)
            if is_for_people
            else seconds_text(now - task.created_at),
            error_text(task.error)[:_LONGEST_ERROR] if is_for_people else error_text(task.error),
        )
        for task in tasks
    ]
    return table_lines(heads, rows, is_aligned=is_for_people)


def task_lines(task: ShownTask, *, now: datetime, folder: Path) -> list[str]:
    """Return one task as a person reads it, a fact a line; files are named from the folder."""
    facts = {
        "task": task.name,
        "state": task.state.value,
        "queue": task.queue,
        "ahead": before_text(task.queued_before).removesuffix(" ahead"),
        "worker": task.worker or "",
        "attempt": attempt_text(task),
        "created": f"{task.created_at.isoformat(timespec='seconds')} "
        f"({age_text(now - task.created_at)} ago)",
        "waiting": _WAITING.get(task.waiting_because or "", task.waiting_because or ""),
        "fix": _waiting_fix(task),
        # How far it came when it ended is no progress any more.
        "progress": "" if task.state.is_final else progress_text(task.progress),
        "took": "" if task.finished_at is None else age_text(task.finished_at - task.created_at),
        "error": error_text(task.error),
    }
    lines = [f"  {name:<9} {fact}" for name, fact in facts.items() if fact]
    trail = trail_lines(task.trail, folder=folder)
    names = ("where", *("" for _ in trail))
    lines += [f"  {name:<9} {line}" for name, line in zip(names, trail, strict=False)]
    return [f"{task.id}", *lines]


def trail_lines(trail: Sequence[Frame], *, folder: Path) -> list[str]:
    """Return where in its own code a task failed; files below the folder are named from there."""
    return [
        f"{_named_from(each.file, folder)}:{each.line}"
        + (f" in {each.function}" if each.function else "")
        for each in trail
    ]


def _named_from(file: str, folder: Path) -> str:
    # The worker may have run on another machine: this goes by the name alone.
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file


def submitted_line(task: ShownTask) -> str:
    """Return the line about a task that was just accepted."""
    return f"{task.id}  {task.name}  {state_text(task)}"


def watch_line(task: ShownTask, *, now: datetime) -> str:
    """Return how a task stands, in one line that may be written over."""
    took = age_text(now - (task.started_at or task.created_at))
    if task.state is TaskState.RUNNING:
        attempt = f"attempt {attempt_text(task)}" if _may_run_again(task) else ""
        parts = [progress_text(task.progress), task.worker or "", attempt, took]
        return "  ".join(["running", *(part for part in parts if part)])
    return f"{state_text(task)}  {took}"


def ended_line(task: ShownTask) -> str:
    """Return how a task ended."""
    end = task.finished_at or task.created_at
    line = f"{task.state.value} after {age_text(end - task.created_at)}"
    return f"{line}: {error_text(task.error)}" if task.error else line


def _waiting_fix(task: ShownTask) -> str:
    """Return the command that ends a wait which lasts for ever otherwise."""
    match task.waiting_because:
        case "no_worker_listens":
            way_out = f"celeriac tasks cancel {shlex.quote(task.id)}"
            return (
                f"{command_to_serve(task.queue)}; or {way_out}, and submit it with another --queue"
            )
        case "queue_paused":
            return f"celeriac queues resume {shlex.quote(task.queue)}"
        case "no_worker_knows_it":
            return "start the workers again with the code that has it; celeriac doctor names them"
        case _:
            return ""


def state_text(task: ShownTask) -> str:
    """Return a task's state, where it waits and why."""
    if task.state.is_final or task.state is TaskState.RUNNING:
        return task.state.value
    why = _WAITING.get(task.waiting_because or "", "")
    told = "; ".join(filter(None, (before_text(task.queued_before), why)))
    return f"{task.state.value} in {task.queue}" + (f" ({told})" if told else "")


def _may_run_again(task: ShownTask) -> bool:
    # Where the task function decides, a second attempt tells that it does.
    return task.attempt > 1 if task.max_attempts is None else task.max_attempts > 1


def before_text(count: int | None) -> str:
    """Return how many tasks of its queue go before one; empty where nobody counted."""
    if count is None:
        return ""
    return f"{count} ahead" if count <= _MOST_COUNTED else f"more than {_MOST_COUNTED:,} ahead"


def progress_text(progress: Json) -> str:
    """Return what a task last told of itself, with a bar where it said of how much."""
    if not isinstance(progress, Mapping):
        return ""
    done, total = progress.get("done"), progress.get("total")
    message = str(progress.get("message") or "")
    if not is_number(done):
        return message
    if not is_number(total) or total <= 0:
        return f"{number_text(done)}  {message}".rstrip()
    share = min(max(done / total, 0.0), 1.0)
    cells = round(share * _BAR_CELLS)
    return f"{'█' * cells}{'░' * (_BAR_CELLS - cells)} {share:4.0%}  {message}".rstrip()


def attempt_text(task: ShownTask) -> str:
    """Return which attempt a task is at, of how many."""
    return str(task.attempt) if task.max_attempts is None else f"{task.attempt}/{task.max_attempts}"


def error_text(error: TaskError | None) -> str:
    """Return why a task failed, in one line."""
    if error is None:
        return ""
    told = ": ".join(part for part in (error.type, error.message) if part)
    return " ".join((told or error.kind.value).split())


def age_text(age: timedelta) -> str:
    """Return a duration in its largest unit that tells enough."""
    seconds = max(age.total_seconds(), 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def seconds_text(age: timedelta) -> str:
    """Return a duration for a program: whole seconds, as `--since` and `--timeout` take them."""
    return f"{max(age.total_seconds(), 0.0):.0f}s"


def number_text(number: float) -> str:
    """Return a number in digits, a whole one whole: 5000000 and never 5e+06."""
    is_whole = isinstance(number, int) or number.is_integer()
    return f"{number:.0f}" if is_whole else f"{number:g}"


def is_number(value: Json) -> TypeGuard[float]:
    """Return whether a value of JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
