"""A queue, as those who look after one see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
