"""The states of a task, who may follow whom, and why a task failed."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """Where a task is on its road."""

    # A later link of a chain or a chord's body: its turn has not come.
    WAITING = "waiting"
    # Waits for its time: a delay, or the pause before the next attempt.
    SCHEDULED = "scheduled"
    # Ready; a doorbell is, or will be, in the broker.
    QUEUED = "queued"
    # One worker holds the lease.
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nobody may move the task on, ever."""
        return self in FINAL_STATES

    def may_become(self, other: TaskState) -> bool:
        """Whether a task in this state may be moved to another one."""
        return other in FOLLOWERS[self]


FINAL_STATES = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED}
)

FOLLOWERS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.WAITING: frozenset(
        {
            TaskState.QUEUED,
            # Its continuation was sent with a countdown.
            TaskState.SCHEDULED,
            TaskState.FAILED,
            TaskState.CANCELLED,
        }
    ),
    TaskState.SCHEDULED: frozenset(
        {TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED}
    ),
    TaskState.QUEUED: frozenset(
        {
            TaskState.RUNNING,
            # A message that no worker can run, refused before a claim.
            TaskState.FAILED,
            TaskState.CANCELLED,
            TaskState.EXPIRED,
        }
    ),
    TaskState.RUNNING: frozenset(
        {
            TaskState.COMPLETED,
            TaskState.FAILED,
            TaskState.SCHEDULED,
            TaskState.QUEUED,
            TaskState.CANCELLED,
            # Replaced by a canvas: it ends when that canvas ends.
            TaskState.WAITING,
        }
    ),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.EXPIRED: frozenset(),
}


class ErrorKind(StrEnum):
    """Why a task failed."""

    # The task function raised.
    EXCEPTION = "exception"
    # A soft or hard time limit ended it.
    TIMEOUT = "timeout"
    # The process that ran it died, more often than the task may.
    WORKER_LOST = "worker_lost"
    # Its arguments do not fit, it raised Celery's Reject, or no worker can run it.
    REJECTED = "rejected"
    # What it waited for failed, was cancelled or expired.
    UPSTREAM = "upstream"
    # An at-most-once task whose worker was lost: nobody knows whether it ran.
    INDETERMINATE = "indeterminate"
