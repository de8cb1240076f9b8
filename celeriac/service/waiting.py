"""Why a task does not run yet: the answer to the question every user of every queue asks."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from celeriac.core.state import TaskState
from celeriac.core.task import Task
from celeriac.core.worker import Worker

# A free worker takes a task within milliseconds.
_A_MOMENT = timedelta(seconds=1)


class WaitingBecause(StrEnum):
    """What a task waits for."""

    # What it follows has not ended.
    UPSTREAM = "upstream"
    # Its time has not come.
    SCHEDULED = "scheduled"
    # The pause before its next attempt.
    RETRY_BACKOFF = "retry_backoff"
    # Somebody paused its queue.
    QUEUE_PAUSED = "queue_paused"
    # No worker serves its queue.
    NO_WORKER_LISTENS = "no_worker_listens"
    # Workers serve its queue, and none of them has a function for it.
    NO_WORKER_KNOWS_IT = "no_worker_knows_it"
    # Workers serve its queue, and none has come to it for a moment.
    WORKERS_BUSY = "workers_busy"


def why_waiting(
    task: Task,
    *,
    workers: Sequence[Worker],
    now: datetime,
    paused: Container[str] = frozenset(),
) -> WaitingBecause | None:
    """Return what a task waits for; None when it does not wait, or is about to be taken.

    Args:
        task: Any task.
        workers: Those that have joined; looked at only when the task is queued.
        now: The present moment.
        paused: The queues that are paused; looked at only when the task is queued.
    """
    if task.state is TaskState.WAITING:
        return WaitingBecause.UPSTREAM
    if task.state is TaskState.SCHEDULED:
        return WaitingBecause.RETRY_BACKOFF if task.attempt else WaitingBecause.SCHEDULED
    if task.state is not TaskState.QUEUED:
        return None
    if task.queue in paused:
        return WaitingBecause.QUEUE_PAUSED
    listening = [worker for worker in workers if task.queue in worker.queues]
    if not listening:
        return WaitingBecause.NO_WORKER_LISTENS
    if not any(worker.knows(task.name) for worker in listening):
        return WaitingBecause.NO_WORKER_KNOWS_IT
    ready_at = max(task.created_at, task.not_before or task.created_at)
    return WaitingBecause.WORKERS_BUSY if now - ready_at > _A_MOMENT else None
