"""What somebody waits at who waits for the end of a task."""

from __future__ import annotations

import time
from typing import Protocol

# Without anybody to tell it, a waiter reads the ledger after pauses that grow up to this.
LONGEST_PAUSE_SECONDS = 0.25


class Notice(Protocol):
    """Something to wait at for the end of one task."""

    def wait(self, longest: float | None) -> bytes | None:
        """Return when the task may have ended, or some time has passed.

        Returns:
            What was said of it, where something is said.
        """


class Pause:
    """Waiting without being told: pauses that grow."""

    def __init__(self) -> None:
        self._pause = 0.002

    def wait(self, longest: float | None) -> None:
        """Sleep a little, a little longer each time."""
        time.sleep(self._pause if longest is None else min(self._pause, longest))
        self._pause = min(self._pause * 1.6, LONGEST_PAUSE_SECONDS)
