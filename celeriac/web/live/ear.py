"""What was heard and not yet looked at: filled by another thread, emptied by the hub."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from celeriac.core.change import Change
from celeriac.core.task import TaskId

# More tasks than any page shows; further ones are only known to be there.
MOST_HEARD = 1000


class Listener(Protocol):
    """Whoever hears changes."""

    def stop(self) -> None:
        """Hear nothing more."""
        ...


Hear = Callable[[Change], None]
Listen = Callable[[Hear, Callable[[], None]], Listener]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that was heard since the last time."""

    task_ids: tuple[TaskId, ...]
    ended: Mapping[str, int]
    is_partial: bool
    # Nothing can be heard now.
    is_deaf: bool


class Ear:
    """Gathers changes until somebody takes them; never more than a page could show."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._ids: dict[TaskId, None] = {}
        self._ended: Counter[str] = Counter()
        self._is_partial = False
        self._is_deaf = False

    def hear(self, change: Change) -> None:
        """Keep a change."""
        with self._lock:
            self._is_deaf = False
            self._is_partial |= change.is_partial
            self._ended.update(change.ended)
            for task_id in change.task_ids:
                if len(self._ids) < MOST_HEARD:
                    self._ids[task_id] = None
                else:
                    self._is_partial = True
        self._wake()

    def lose(self) -> None:
        """Note that from now on nothing is heard."""
        with self._lock:
            self._is_deaf = True
        self._wake()

    def take(self) -> Heard:
        """Return what was heard, once."""
        with self._lock:
            heard = Heard(
                task_ids=tuple(self._ids),
                ended=dict(self._ended),
                # Whoever hears nothing knows that something may have happened, and no more.
                is_partial=self._is_partial or self._is_deaf,
                is_deaf=self._is_deaf,
            )
            self._ids.clear()
            self._ended.clear()
            self._is_partial = False
        return heard
