"""Bringing what a thread has done to those who wait for it in the event loop.

A thread that does many things at once ends them at once, and to wake the loop for each of them
takes longer than to tell all who wait: so they land together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Landing:
    """Where answers from other threads come down in an event loop."""

    def __init__(self) -> None:
        self._arrived: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_called = False

    async def wait_for(self, answer: Future[Answer]) -> Answer:
        """Return a thread's answer, or raise what it is; always in the same event loop."""
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: self._arrive(waiter, done))
        return await waiter

    def _arrive(self, waiter: asyncio.Future[Any], answer: Future[Any]) -> None:
        # First this: whoever is being landed now may already be past the looking.
        self._arrived.append((waiter, answer))
        loop = waiter.get_loop()
        if not self._is_called and not loop.is_closed():
            self._is_called = True
            loop.call_soon_threadsafe(self._land)

    def _land(self) -> None:
        # Before the looking, so that what arrives after it calls again.
        self._is_called = False
        while self._arrived:
            waiter, answer = self._arrived.popleft()
            # Whoever waited may have given up.
            if waiter.done():
                continue
            error = answer.exception()
            if error is None:
                waiter.set_result(answer.result())
            else:
                waiter.set_exception(error)
