"""What the end of an attempt makes of its row: decided here, written in `endings.py`.

Pure: a row as it is held, an outcome, the moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from celeriac.core.moments import to_micros
from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Codec, NewTask, TaskError, TaskId
from celeriac.ledger.arrivals import Timing


class Held(NamedTuple):
    """What must be known of a row that nobody else can change until this transaction ends."""

    id: TaskId
    name: str
    queue: str
    priority: int
    state: str
    attempt: int
    crashes: int
    max_crashes: int
    at_most_once: bool
    lease_token: str | None
    worker: str | None
    started_at: int | None
    cancel_requested_at: int | None
    chord_id: str | None
    upstream_id: str | None


@dataclass(frozen=True, slots=True)
class Finish:
    """A row that becomes final."""

    held: Held
    state: TaskState
    finished_at: int
    # The word under which the attempt is remembered; None when none was under way.
    ending: str | None = None
    result: str | None = None
    result_codec: Codec = Codec.JSON
    error: TaskError | None = None
    is_ignored: bool = False
    crashes: int = 0
    # Nobody has called its errbacks.
    needs_errbacks: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A running row that goes on: to its next attempt, or to wait for what took its place."""

    held: Held
    state: TaskState
    finished_at: int
    # The word under which the attempt is remembered; None when its function never began, so that
    # it does not count as one.
    ending: str | None
    error: TaskError | None = None
    crashes: int = 0
    # What it shall run as from now on; None leaves everything as it is.
    resend: NewTask | None = None


def judge(outcome: Outcome, held: Held, timing: Timing) -> Finish | Move:
    """Return what an outcome makes of the running row that it completes."""
    match outcome.ending:
        case Ending.COMPLETED | Ending.FAILED | Ending.CANCELLED:
            return _final(outcome, held)
        case Ending.LOST:
            at = to_micros(outcome.finished_at)
            return judge_lost(held, timing, at=at, is_suspect=outcome.is_suspect)
        case Ending.UNBEGUN:
            return _unbegun(outcome, held)
        case Ending.RETURNED:
            return _again(outcome, held, TaskState.QUEUED)
        case Ending.RETRIED:
            resend = outcome.resend
            state = TaskState.QUEUED if resend is None else timing.state_of(resend)
            return _again(outcome, held, state)
        case Ending.REPLACED:
            return _again(outcome, held, TaskState.WAITING)


def judge_lost(
    held: Held, timing: Timing, *, at: int | None = None, is_suspect: bool = True
) -> Finish | Move:
    """Return what becomes of a running row whose process or worker is gone.

    Args:
        held: The row.
        timing: The moment of the write.
        at: When its attempt ended; None is now.
        is_suspect: The task may be what brought its process down, so that it is charged.
    """
    crashes = held.crashes + (1 if is_suspect else 0)
    finished_at = timing.micros if at is None else at
    error: TaskError | None = None
    if held.at_most_once:
        error = TaskError(
            kind=ErrorKind.INDETERMINATE,
            message="its worker was lost, and it may not run a second time: it may have run or not",
        )
    elif held.cancel_requested_at is not None:
        # It was asked to stop, and now it has: a second attempt could never be claimed.
        return Finish(held, TaskState.CANCELLED, finished_at, "cancelled", crashes=crashes)
    elif is_suspect and crashes >= held.max_crashes:
        error = TaskError(
            kind=ErrorKind.WORKER_LOST,
            message=f"the process that ran it died, {crashes} times in all",
        )
    if error is None:
        return Move(held, TaskState.QUEUED, finished_at, "lost", crashes=crashes)
    return Finish(
        held,
        TaskState.FAILED,
        finished_at,
        "lost",
        error=error,
        crashes=crashes,
        needs_errbacks=True,
    )


def judge_upstream(
    held: Held, upstream: str, timing: Timing, *, cause: TaskError | None = None
) -> Finish:
    """Return what becomes of a waiting row whose turn can no longer come.

    Args:
        held: The row.
        upstream: What became of what it waited for, in words.
        timing: The moment of it.
        cause: Why that failed: whoever waits for the row gets the same exception.
    """
    message = f"what it waited for {upstream}"
    error = TaskError(kind=ErrorKind.UPSTREAM, message=message)
    if cause is not None:
        said = f"{message}: {cause.message}" if cause.kind is not ErrorKind.UPSTREAM else None
        error = replace(cause, kind=ErrorKind.UPSTREAM, message=said or cause.message)
    return Finish(held, TaskState.FAILED, timing.micros, error=error, crashes=held.crashes)


def _final(outcome: Outcome, held: Held) -> Finish:
    return Finish(
        held,
        TaskState(outcome.ending.value),
        to_micros(outcome.finished_at),
        outcome.ending.value,
        result=outcome.result,
        result_codec=outcome.result_codec,
        error=outcome.error,
        is_ignored=outcome.is_ignored,
        crashes=held.crashes,
        needs_errbacks=outcome.needs_errbacks,
    )


def _unbegun(outcome: Outcome, held: Held) -> Finish | Move:
    finished_at = to_micros(outcome.finished_at)
    if held.cancel_requested_at is not None:
        return Finish(held, TaskState.CANCELLED, finished_at, crashes=held.crashes)
    return Move(held, TaskState.QUEUED, finished_at, None, crashes=held.crashes)


def _again(outcome: Outcome, held: Held, state: TaskState) -> Finish | Move:
    finished_at = to_micros(outcome.finished_at)
    if held.cancel_requested_at is not None:
        return Finish(held, TaskState.CANCELLED, finished_at, "cancelled", crashes=held.crashes)
    return Move(
        held,
        state,
        finished_at,
        outcome.ending.value,
        error=outcome.error,
        crashes=held.crashes,
        resend=outcome.resend,
    )
