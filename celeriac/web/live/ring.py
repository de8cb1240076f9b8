"""What has happened in the last minute: the one memory that all who watch share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from celeriac.core.task import TaskId

KEPT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is remembered of a task that changed."""

    name: str
    submitted_by: str | None
    created_at: datetime
    # It had not been seen before.
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What happened between two looks."""

    # One more than that of the moment before.
    number: int
    # By the monotonic clock.
    at: float
    # Tasks that changed, with what is known of them; None when nobody looked.
    tasks: Mapping[TaskId, Seen | None] = field(default_factory=dict)
    # Others changed as well, and are not named.
    is_partial: bool = False


class Ring:
    """The moments of the last minute, in order."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()
        self._last = 0

    @property
    def last(self) -> int:
        """The number of the latest moment; 0 before the first."""
        return self._last

    def add(self, tasks: Mapping[TaskId, Seen | None], *, is_partial: bool, at: float) -> None:
        """Remember a moment, and forget what is too old."""
        self._last += 1
        self._moments.append(Moment(number=self._last, at=at, tasks=tasks, is_partial=is_partial))
        while self._moments[0].at < at - KEPT.total_seconds():
            self._moments.popleft()

    def holds_all_after(self, number: int) -> bool:
        """Return whether everything that happened after a moment is still remembered."""
        if not 0 <= number <= self._last:
            return False
        oldest = self._moments[0].number if self._moments else self._last + 1
        return number + 1 >= oldest

    def after(self, number: int) -> Iterator[Moment]:
        """Give the moments after one, first to last."""
        # Mostly the last one or two are asked for.
        newer = []
        for moment in reversed(self._moments):
            if moment.number <= number:
                break
            newer.append(moment)
        return reversed(newer)
