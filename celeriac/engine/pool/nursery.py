"""A runner's children: as many as are wanted, made by the fork server and seen off when they go."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from celery.worker import state as worker_state

from celeriac.engine.pool.forkserver import ForkServer
from celeriac.engine.pool.handle import AsyncChild, Child, PlainChild
from celeriac.engine.pool.slots import Numbers
from celeriac.engine.pool.wire import GarbledError

logger = logging.getLogger(__name__)

_STOP_SECONDS = 5.0


class Nursery:
    """Makes children, listens to them, and replaces those that end.

    There are two kinds: those that run one task after the other, and those that run async tasks
    side by side. What ends a task of one kind by force takes none of the other along.
    """

    def __init__(
        self, server: ForkServer, numbers: Numbers, *, tasks_per_child: int | None = None
    ) -> None:
        self._server = server
        self._numbers = numbers
        self._tasks_per_child = tasks_per_child
        # Asked for and not yet named by the fork server, in the order of asking.
        self._forking: deque[Child] = deque()
        self._children: dict[int, Child] = {}
        self._has_server = True
        self._is_stopping = False
        self._selector: selectors.BaseSelector
        self._on_message: Callable[[Child, Any], None]
        self._on_death: Callable[[Child, int], None]

    def start(
        self,
        selector: selectors.BaseSelector,
        *,
        on_message: Callable[[Child, Any], None],
        on_death: Callable[[Child, int], None],
    ) -> None:
        """Begin to listen.

        Args:
            selector: What the pool's thread waits with.
            on_message: Called with what a child tells; raises GarbledError if that makes no sense.
            on_death: Called with a child that has ended, after its last words, and with its status.
        """
        self._selector, self._on_message, self._on_death = selector, on_message, on_death
        selector.register(self._server.socket, selectors.EVENT_READ, self._hear_server)

    def __iter__(self) -> Iterator[Child]:
        return iter(tuple(self._children.values()))

    def plain(self) -> list[PlainChild]:
        """Return the plain children that can be handed something."""
        return [each for each in self._usable() if isinstance(each, PlainChild)]

    def interleaving(self) -> list[AsyncChild]:
        """Return the children for async tasks that can be handed something."""
        return [each for each in self._usable() if isinstance(each, AsyncChild)]

    def _usable(self) -> Iterator[Child]:
        return (each for each in self._children.values() if each.is_ready and not each.is_leaving)

    def pids(self) -> list[int]:
        """Return the children's process ids, in order."""
        return sorted(self._children)

    def keep(self, wanted: int, *, is_async: bool = False) -> None:
        """See to it that there are as many children of one kind as are wanted."""
        if self._is_stopping:
            return
        kin = [each for each in self._children.values() if each.is_async is is_async]
        # One that leaves is replaced when it runs nothing any more: no more tasks at a time than
        # wanted. Async ones run so many anyway, and so long, that nobody waits for their last.
        count = sum(not (each.is_leaving and (is_async or not each.jobs)) for each in kin)
        count += sum(each.is_async is is_async for each in self._forking)
        for _ in range(wanted - count):
            self._fork(is_async=is_async)
        staying = sorted(
            (each for each in kin if not each.is_leaving), key=lambda each: len(each.jobs)
        )
        for child in staying[: max(0, len(staying) - wanted)]:
            child.is_leaving = True
            self.see_off(child)

    def see_off(self, child: Child) -> None:
        """Let a child that leaves end, if it has ended what it was handed."""
        if child.is_leaving and not child.jobs:
            child.send("stop")

    def hear(self, child: Child) -> None:
        """Take what a child has told so far."""
        if child.is_buried:
            # Its death was told in the same turn as its last words, which are taken already.
            return
        self.flush(child)
        try:
            messages = child.receive()
            if messages is None:
                self._selector.unregister(child.socket)
                return
            for message in messages:
                self._on_message(child, message)
        except GarbledError:
            # Its own doing, or that of a task that wrote to its socket: only this child ends.
            logger.exception("a child was not understood; it is killed", extra={"pid": child.pid})
            child.kill_garbled()

    def close(self) -> None:
        """Let the children end in order, then the fork server."""
        self._is_stopping = True
        for child in self._children.values():
            child.send("stop")
        deadline = time.monotonic() + _STOP_SECONDS
        while self._is_waiting() and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                key.data()
        if self._has_server:
            self._selector.unregister(self._server.socket)
        self._server.close()

    def _is_waiting(self) -> bool:
        return self._has_server and bool(self._children or self._forking)

    def _fork(self, *, is_async: bool) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        kind = AsyncChild if is_async else PlainChild
        child = kind(ours, self._numbers.take(), watch=self.flush, most_tasks=self._tasks_per_child)
        self._forking.append(child)
        self._server.fork(theirs)

    def _hear_server(self) -> None:
        try:
            messages = self._server.messages()
        except EOFError:
            # Without it no child can be made any more, and its death has killed them all.
            logger.critical("the fork server is gone; this worker ends")
            self._selector.unregister(self._server.socket)
            self._has_server = False
            worker_state.should_terminate = 1
            return
        for message in messages:
            if message[0] == "forked":
                child = self._forking.popleft()
                child.pid = message[1]
                self._children[child.pid] = child
                if self._is_stopping:
                    # It was asked for before: nobody else tells it.
                    child.send("stop")
                self.flush(child)
            else:
                self._bury(message[1], message[2])

    def flush(self, child: Child) -> None:
        """Write to a child what was put, as fast as it reads."""
        wanted = selectors.EVENT_READ
        if not child.flush():
            wanted |= selectors.EVENT_WRITE
        try:
            key = self._selector.get_key(child.socket)
        except KeyError:
            self._selector.register(child.socket, wanted, partial(self.hear, child))
            return
        if key.events != wanted:
            self._selector.modify(child.socket, wanted, key.data)

    def _bury(self, pid: int, status: int) -> None:
        child = self._children.pop(pid, None)
        if child is None:
            return
        try:
            for message in child.last_words():
                self._on_message(child, message)
        except GarbledError:
            logger.exception("a child's last words were not understood", extra={"pid": pid})
        if child.socket.fileno() in {key.fd for key in self._selector.get_map().values()}:
            self._selector.unregister(child.socket)
        child.socket.close()
        child.is_buried = True
        self._numbers.give_back(child.slot)
        self._on_death(child, status)
