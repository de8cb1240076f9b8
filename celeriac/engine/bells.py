"""A thread that speaks to the broker for a worker, so that completing tasks never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from celeriac.core.outcome import Ended
from celeriac.core.task import Doorbell, TaskId

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 500

# A task, and what it says of itself, as the ledger keeps it.
Progress = tuple[TaskId, str]
_Saying = tuple[Sequence[Doorbell], Sequence[Ended], Sequence[Progress]]


class Bells:
    """Rings doorbells and tells of ended tasks, in order, behind the caller's back."""

    def __init__(
        self,
        ring: Callable[[Sequence[Doorbell]], None],
        tell: Callable[[Sequence[Ended]], None],
        show: Callable[[Sequence[Progress]], None],
    ) -> None:
        self._ring = ring
        self._tell = tell
        self._show = show
        self._queue: queue.SimpleQueue[_Saying | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="celeriac-bells", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ring(self, doorbells: Sequence[Doorbell], ended: Sequence[Ended]) -> None:
        """Have doorbells rung and ends told; returns at once."""
        if doorbells or ended:
            self._queue.put((doorbells, ended, ()))

    def show(self, progress: Sequence[Progress]) -> None:
        """Have it told what running tasks say of themselves; returns at once."""
        self._queue.put(((), (), progress))

    def stop(self, seconds: float) -> None:
        """Say what is left to say, as far as the time allows, and end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            doorbells: list[Doorbell] = []
            ended: list[Ended] = []
            progress: list[Progress] = []
            item = self._queue.get()
            while True:
                if item is None:
                    is_over = True
                    break
                doorbells.extend(item[0])
                ended.extend(item[1])
                progress.extend(item[2])
                if (
                    len(doorbells) + len(ended) + len(progress) > _MOST_AT_ONCE
                    or self._queue.empty()
                ):
                    break
                item = self._queue.get()
            if progress:
                # Before its task's end, which stays the last word.
                self._say(self._show, progress)
            # Waiters first: they have waited longest.
            self._say(self._tell, ended)
            self._say(self._ring, doorbells)

    def _say(self, say: Callable[[Sequence[Any]], None], what: Sequence[Any]) -> None:
        try:
            say(what)
        except Exception:
            # The worker's boundary: what comes after this is to be said all the same. The janitor
            # rings again, and waiters look into the ledger.
            logger.exception("the broker was not told", extra={"count": len(what)})
