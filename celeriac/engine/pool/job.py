"""One claimed task on its way through a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.core.task import ClaimedTask


@dataclass(slots=True, eq=False)
class Job:
    """A claimed task with what Celery knows of it."""

    claimed: ClaimedTask
    # Celery's Request: its acknowledgement, its events, its place in `inspect active`.
    request: Any
    soft_seconds: float | None
    hard_seconds: float | None
    # By the monotonic clock; None until it truly runs.
    began: float | None = None
    # Somebody asked for it to be stopped while it runs.
    is_interrupted: bool = False
    # Its hard limit is over and its process was told to die.
    is_timed_out: bool = False
    is_soft_told: bool = False
    # Its function is an `async def`: it runs on an event loop, with others.
    is_async: bool = False
    # When a runner took it, by the monotonic clock.
    handed: float = 0.0
    # The slot in which it runs, or ran.
    slot: int = -1
    # An async task was asked to end: when its process is killed, by the monotonic clock.
    kill_at: float | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.claimed.id

    @property
    def is_suspect(self) -> bool:
        """Whether its next crash would be one too many: it runs alone, so that it is its own."""
        crashes = self.claimed.crashes
        return crashes > 0 and (crashes >= 2 or crashes + 1 >= self.claimed.max_crashes)

    def forget_begin(self) -> None:
        """Take it that it has not begun: its child gave it back."""
        self.began = None
        self.slot = -1
        self.is_soft_told = self.is_timed_out = False

    def has_expired(self, now: datetime) -> bool:
        """Whether it should have begun before now."""
        return self.claimed.expires_at is not None and self.claimed.expires_at <= now

    def limits_to_come(self) -> list[float]:
        """Return the monotonic moments of its limits that are not over yet."""
        if self.began is None:
            return []
        limits = ((self.soft_seconds, self.is_soft_told), (self.hard_seconds, self.is_timed_out))
        return [
            self.began + limit for limit, is_over in limits if limit is not None and not is_over
        ]

    def soft_due(self, now: float) -> bool:
        """Whether its soft limit is over and it has not been told."""
        return (
            self.began is not None
            and self.soft_seconds is not None
            and not self.is_soft_told
            and now >= self.began + self.soft_seconds
        )

    def hard_due(self, now: float) -> bool:
        """Whether its hard limit is over and its process has not been told."""
        return (
            self.began is not None
            and self.hard_seconds is not None
            and not self.is_timed_out
            and now >= self.began + self.hard_seconds
        )
