"""What a caller may ask of a task beside its arguments: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celeriac.core.file_reference import FileId
from celeriac.core.task import DEFAULT_PRIORITY, Arguments, NewTask, TaskId
from celeriac.errors import InvalidOptionError
from celeriac.queue_names import QUEUE_RULE, is_queue_name

Json = Any

MOST_PRIORITY = 9
MOST_ATTEMPTS = 1000
MOST_TAGS = 20
MOST_TAG_CHARACTERS = 64
MOST_TIMEOUT = timedelta(days=7)
# What lies further ahead is a mistake in the unit.
MOST_AHEAD = timedelta(days=3660)
MOST_UNIQUE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How a task shall be run; None leaves it to the task function."""

    queue: str | None = None
    # 0 to 9, 9 first.
    priority: int = DEFAULT_PRIORITY
    delay: timedelta | None = None
    # Not before this moment; stands in place of a delay.
    not_before: datetime | None = None
    # Not begun after this moment.
    expires_at: datetime | None = None
    max_attempts: int | None = None
    timeout: timedelta | None = None
    tags: tuple[str, ...] = ()
    # For so long an equal task of the same caller stands for this one.
    unique_for: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """A wish to run a task function once."""

    name: str
    # The named arguments, as they came out of JSON.
    kwargs: dict[str, Json]
    # The files the arguments may refer to: those that came with them.
    files: frozenset[FileId] = frozenset()
    options: SubmitOptions = SubmitOptions()
    # How large the arguments were when they came, where that was counted.
    size_bytes: int = 0


def check_options(options: SubmitOptions, *, now: datetime) -> None:
    """Return if every option is in bounds.

    Raises:
        InvalidOptionError: One is not, or two contradict each other.
    """
    _check_line(options)
    _check_moments(options, now=now)
    _check_limits(options)
    _check_tags(options.tags)


def not_before(options: SubmitOptions, *, now: datetime) -> datetime | None:
    """Return the moment before which the task is not queued; None is at once."""
    if options.delay:
        return now + options.delay
    return options.not_before


def new_task(
    task_id: TaskId,
    request: SubmitRequest,
    arguments: Arguments,
    *,
    queue: str,
    submitted_by: str,
    now: datetime,
) -> NewTask:
    """Return the task that a checked request makes."""
    options = request.options
    return NewTask(
        id=task_id,
        name=request.name,
        arguments=arguments,
        queue=queue,
        priority=options.priority,
        not_before=not_before(options, now=now),
        expires_at=options.expires_at,
        max_attempts=options.max_attempts,
        timeout_seconds=options.timeout.total_seconds() if options.timeout else None,
        root_id=task_id,
        submitted_by=submitted_by,
        tags=options.tags,
    )


def _check_line(options: SubmitOptions) -> None:
    if options.queue is not None and not is_queue_name(options.queue):
        raise InvalidOptionError("queue", QUEUE_RULE)
    if not 0 <= options.priority <= MOST_PRIORITY:
        raise InvalidOptionError("priority", f"a whole number from 0 to {MOST_PRIORITY}")


def _check_moments(options: SubmitOptions, *, now: datetime) -> None:
    if options.delay is not None and options.not_before is not None:
        raise InvalidOptionError("not_before", "stands beside delay_seconds; give one of the two")
    if options.delay is not None and not timedelta(0) <= options.delay <= MOST_AHEAD:
        raise InvalidOptionError("delay_seconds", f"from 0 to {MOST_AHEAD.total_seconds():.0f}")
    for name, moment in (("not_before", options.not_before), ("expires_at", options.expires_at)):
        if moment is not None and moment > now + MOST_AHEAD:
            raise InvalidOptionError(name, f"at most {MOST_AHEAD.days} days ahead")
    if options.expires_at is None:
        return
    if options.expires_at <= now:
        raise InvalidOptionError("expires_at", "has passed already")
    begins = not_before(options, now=now)
    if begins is not None and options.expires_at <= begins:
        raise InvalidOptionError("expires_at", "comes before the task may begin")


def _check_limits(options: SubmitOptions) -> None:
    if options.max_attempts is not None and not 1 <= options.max_attempts <= MOST_ATTEMPTS:
        raise InvalidOptionError("max_attempts", f"a whole number from 1 to {MOST_ATTEMPTS}")
    if options.timeout is not None and not timedelta(0) < options.timeout <= MOST_TIMEOUT:
        most = f"{MOST_TIMEOUT.total_seconds():.0f}"
        raise InvalidOptionError("timeout_seconds", f"more than 0 and at most {most}")
    if options.unique_for is not None and not timedelta(0) < options.unique_for <= MOST_UNIQUE:
        most = f"{MOST_UNIQUE.total_seconds():.0f}"
        raise InvalidOptionError("unique_for_seconds", f"more than 0 and at most {most}")


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > MOST_TAGS:
        raise InvalidOptionError("tag", f"at most {MOST_TAGS} of them")
    for tag in tags:
        if not 1 <= len(tag) <= MOST_TAG_CHARACTERS or not tag.isprintable():
            raise InvalidOptionError("tag", f"1 to {MOST_TAG_CHARACTERS} printable characters")
