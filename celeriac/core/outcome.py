"""How one attempt ended, and what the ledger shall write for it in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from celeriac.core.task import Codec, NewTask, TaskError, TaskId


class Ending(StrEnum):
    """How one attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # The task sent itself again: `resend` says when and with what.
    RETRIED = "retried"
    # Another canvas took its place and will end it: `resend.upstream_id` says which.
    REPLACED = "replaced"
    # The process died under it: queued again, or failed once it crashed too often.
    LOST = "lost"
    # The task asked to be queued again as it is (Celery's Reject with requeue).
    RETURNED = "returned"
    # The worker gives it back before its function began: as if it had never been claimed.
    UNBEGUN = "unbegun"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChord:
    """A body that starts when every part of its header has ended."""

    id: str
    # Parts whose end is still to come.
    size: int
    # The body's signature and the chord's options, as typed JSON, for the task that fires it.
    body: str
    # The queue that firing task goes to.
    queue: str


class Outcome(NamedTuple):
    """The end of one attempt with everything that becomes true together with it.

    The ledger writes all of it or nothing: nothing when the lease is no longer held.
    """

    # A tuple, as one is made in the child and again in its parent for each task: a frozen
    # dataclass takes four times as long.

    task_id: TaskId
    lease_token: str
    ending: Ending
    finished_at: datetime
    # The result as JSON; None when there is none or it is not kept.
    result: str | None = None
    result_codec: Codec = Codec.JSON
    error: TaskError | None = None
    is_ignored: bool = False
    # For LOST: the task itself may have brought its process down, and is charged with a crash.
    is_suspect: bool = True
    # For RETRIED the task as it shall run next (same id), for REPLACED the row as it shall wait.
    resend: NewTask | None = None
    # Tasks that come into being, or out of `waiting`, with this end.
    continuations: tuple[NewTask, ...] = ()
    chords: tuple[NewChord, ...] = ()
    # The child could not call the task's errbacks itself (it was killed, or never began): the
    # ledger adds a task that calls them, if the task has any and this end is its last.
    needs_errbacks: bool = False


class Ended(NamedTuple):
    """A task that became final, for those who wait for it."""

    task_id: TaskId
    # Its state, result and error as they now stand in the ledger.
    state: str
    result: str | None = None
    result_codec: Codec = Codec.JSON
    error: TaskError | None = None
    # None is a moment ago.
    finished_at: datetime | None = None
