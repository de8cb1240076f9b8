"""Waking those who wait for a task's end: one connection to the broker for all of them.

A word that is lost costs a waiter a second: then it looks into the ledger by itself. Without a
broker that carries such words it looks four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from celeriac.core.broker_url import is_redis_url
from celeriac.core.task import TaskId
from celeriac.engine.notices import channel_of
from celeriac.web.broker_pool import pool_of

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool
    from redis.asyncio.client import PubSub

logger = logging.getLogger(__name__)

# Those who may wait at a time: each looks into the ledger once a second in any case.
MOST_WAITING = 500
# How long a waiter trusts that it would have been told.
TRUST_SECONDS = 1.0
# How long it sleeps when nobody tells it.
PAUSE_SECONDS = 0.25
_PATIENCE_SECONDS = 0.5
_AWAY_SECONDS = 1.0


class Ends:
    """Tells those in this event loop who wait when tasks end."""

    def __init__(self, locate: Callable[[], str]) -> None:
        """Listen at a broker.

        Args:
            locate: Returns its URL; asked before each connection, as it may have moved.
        """
        self._locate = locate
        # Whoever runs a broker of the kind that carries no such words does not change its kind.
        self._is_heard = is_redis_url(locate())
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changing: asyncio.Lock | None = None
        self._pool: ConnectionPool | None = None
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._leaving: set[asyncio.Task[None]] = set()
        # The service is to end: nobody waits any longer.
        self.is_over = False

    @property
    def has_room(self) -> bool:
        """Whether one more may wait; whoever may not is answered at once."""
        return self._count < MOST_WAITING

    @asynccontextmanager
    async def listening(self, task_id: TaskId) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever a task may have ended.

        Whatever ends after this call is noticed, so read the ledger once before waiting, unless
        the task is not yet there.
        """
        self._loop = asyncio.get_running_loop()
        channel = channel_of(task_id)
        event = asyncio.Event()
        waiters = self._waiting.setdefault(channel, set())
        waiters.add(event)
        self._count += 1
        try:
            if len(waiters) == 1:
                await self._subscribe(channel)
            yield event
        finally:
            self._count -= 1
            waiters.discard(event)
            if not waiters and self._waiting.get(channel) is waiters:
                del self._waiting[channel]
                # Whoever has what it waited for need not wait for this.
                leaving = asyncio.create_task(self._unsubscribe(channel))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def pause(self, event: asyncio.Event, *, longest: float) -> None:
        """Return when an event is set, or when it is time to look without having been told."""
        trusted = TRUST_SECONDS if self._pubsub is not None else PAUSE_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), min(trusted, longest))
        event.clear()
        if self._pubsub is None and self._waiting:
            await self._subscribe(*self._waiting)

    def end(self) -> None:
        """Have nobody wait any longer; may be called from a signal's handler."""
        self.is_over = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    async def close(self) -> None:
        """Close the connection."""
        self.is_over = True
        self._wake_all()
        await asyncio.gather(*self._leaving)
        reader = self._reader
        await self._lose()
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    def _wake_all(self) -> None:
        for waiters in self._waiting.values():
            for event in waiters:
                event.set()

    async def _subscribe(self, *channels: str) -> None:
        if not self._is_heard or time.monotonic() < self._away_until:
            return
        if self._changing is None:
            self._changing = asyncio.Lock()
        async with self._changing:
            import redis

            try:
                if self._pubsub is None:
                    await self._connect()
                else:
                    await self._pubsub.subscribe(*channels)
            except (redis.RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + _AWAY_SECONDS
                await self._lose()
                logger.warning(
                    "the broker is away; those who wait look into the ledger",
                    extra={"error": type(error).__name__},
                )

    async def _connect(self) -> None:
        from redis.asyncio import Redis

        self._pool = pool_of(
            self._locate(), patience_seconds=_PATIENCE_SECONDS, reads_for_ever=True
        )
        pubsub = Redis(connection_pool=self._pool).pubsub()
        # All who wait: those of a connection that was lost, too.
        await pubsub.subscribe(*self._waiting)
        self._pubsub = pubsub
        self._reader = asyncio.create_task(self._read(pubsub))

    async def _unsubscribe(self, channel: str) -> None:
        import redis

        # Somebody may wait for the same task again by now.
        if self._pubsub is not None and channel not in self._waiting:
            with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
                await self._pubsub.unsubscribe(channel)

    async def _read(self, pubsub: PubSub) -> None:
        import redis

        try:
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
                if message is not None:
                    channel = message["channel"].decode()
                    for event in self._waiting.get(channel, ()):
                        event.set()
        except (redis.RedisError, OSError, TimeoutError, AttributeError):
            # AttributeError: it was closed by ourselves under the read.
            if self._pubsub is pubsub:
                await self._lose()

    async def _lose(self) -> None:
        pubsub, pool, reader = self._pubsub, self._pool, self._reader
        self._pubsub = self._pool = self._reader = None
        if reader is not None and reader is not asyncio.current_task():
            # It would connect again what is closed here, and read there for ever.
            reader.cancel()
        # Whoever waits looks now, and more often from now on.
        self._wake_all()
        if pubsub is not None:
            with contextlib.suppress(Exception):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
        if pool is not None:
            await pool.disconnect()
