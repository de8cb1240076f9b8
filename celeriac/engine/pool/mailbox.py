"""How the pool's thread has something done in the worker's main thread.

Celery's worker is not made for threads: acknowledging a message, its state and its events belong
to the thread of its event loop.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from celeriac.engine.pool.wakeup import Wakeup

logger = logging.getLogger(__name__)


class Mailbox:
    """Calls that wait for the main thread, and a file descriptor that tells it of them."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._arrived = threading.Event()
        # And not `hub.call_soon`: that one does not wake a loop that waits for its next
        # poll (kombu 5.7, asynchronous/hub.py), and an idle task would wait 75 ms.
        self._wakeup = Wakeup()

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Have something called in the main thread, in the order of posting."""
        self._calls.append((call, args))
        self._arrived.set()
        self._wakeup.wake()

    def register(self, hub: Any) -> None:
        """Have an event loop empty the mailbox whenever something is in it."""
        hub.add_reader(self._wakeup, self.empty)

    def empty(self, *_: Any) -> None:
        """Make the calls that wait."""
        self._arrived.clear()
        self._wakeup.clear()
        while self._calls:
            call, args = self._calls.popleft()
            try:
                call(*args)
            except Exception:
                # An exception in a ready callback ends a Celery worker; this is its boundary.
                logger.exception("a call in the worker's main thread failed")

    def wait_until(self, is_over: Callable[[], bool]) -> None:
        """Make the calls that come, until there is no more to wait for."""
        while not is_over():
            self._arrived.wait(0.05)
            self.empty()
        self.empty()

    def close(self) -> None:
        """Close what it waits with."""
        self._wakeup.close()
