"""A child as its parent sees it: a process id, a socket, and what it was handed."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from celeriac.engine.pool import wire
from celeriac.engine.pool.job import Job


class Child:
    """One child as its parent sees it."""

    def __init__(self, sock: socket.socket, slot: int, *, is_async: bool = False) -> None:
        self.socket = sock
        self.slot = slot
        # It runs async tasks, side by side, and no others; else one task after the other.
        self.is_async = is_async
        self.pid = 0
        self.is_ready = False
        self.is_buried = False
        # It was asked for what has not begun, and has not answered.
        self.is_recalling = False
        # A task of its keeps its event loop from the others.
        self.is_blocked = False
        # It is to be handed nothing more, and ends when it has ended what it has.
        self.is_leaving = False
        # How many tasks it was handed, without those it gave back.
        self.handed = 0
        # What it was handed and has not ended, by id, in order: it runs the first, or all.
        self.jobs: dict[str, Job] = {}
        self._unpacker = wire.Unpacker()
        self._out = bytearray()

    @property
    def head(self) -> Job | None:
        """What it runs, or begins next; of async tasks the one that was handed first."""
        return next(iter(self.jobs.values()), None)

    def put(self, message: Any) -> None:
        """Have something written to it with the next `flush`."""
        self._out += wire.pack(message)

    def send(self, message: Any) -> None:
        """Have something written to it, as far as its socket takes it."""
        self.put(message)
        self.flush()

    def flush(self) -> bool:
        """Write what is left; whether nothing is."""
        # Never blocking: a child that waits for its own long write to be read would wait for
        # ever if its parent waited for it.
        while self._out:
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return False
            except OSError:
                # It is dead, which the fork server tells in a moment.
                self._out.clear()
                return True
            del self._out[:sent]
        return True

    def receive(self) -> list[Any] | None:
        """Return what it has told; None when it will tell no more."""
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._unpacker.feed(data) if data else None

    def last_words(self) -> list[Any]:
        """Return whatever it told before it died."""
        told: list[Any] = []
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except OSError:
                # Nothing more, and no end either: something that it started holds the socket.
                return told
            if not data:
                return told
            told.extend(self._unpacker.feed(data))

    def signal(self, number: int) -> None:
        """Send it a signal; one that has just ended does not get it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
