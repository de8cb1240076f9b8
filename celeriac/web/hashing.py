"""Hashing passwords beside everything else: few at a time, and a short line before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from celeriac.web.refusals import BusyError

P = ParamSpec("P")
R = TypeVar("R")

# Sign-ins that wait for a thread; whoever comes next is asked to come later.
_MOST_WAITING = 50


class HashThreads:
    """Threads of their own, so that sign-ins never take those of the other routes."""

    def __init__(self, at_once: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._most = at_once + _MOST_WAITING
        # Counted here and not asked of the limiter: that one counts whoever waits only a step
        # later, and a crowd that comes in one step would pass together.
        self._inside = 0

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call something that hashes.

        Raises:
            BusyError: Too many wait already.
        """
        if self._inside >= self._most:
            raise BusyError
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(
                lambda: call(*args, **kwargs), limiter=self._limiter
            )
        finally:
            self._inside -= 1
