"""A queue, as those who look after one see it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

from celeriac.queue_names import is_queue_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why nothing of a queue is begun at the moment."""

    # None when a program did it by itself.
    by: str | None
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedName:
    """How many tasks of one name are queued in one queue."""

    queue: str
    name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How one queue stands."""

    name: str
    queued: int
    # Since when the one that has waited longest is ready; None when nothing waits.
    oldest_queued_at: datetime | None
    running: int
    # Workers that serve it, paused or not.
    workers: int
    pause: Pause | None


def command_to_serve(name: str) -> str:
    """Return the command that starts a worker of a queue."""
    if is_queue_name(name):
        return f"celeriac worker --queues {name}"
    # Only an app of Celery's calls a queue so, and Celery's own command takes any name.
    return f"celery -A APP worker -Q {shlex.quote(name)}"
