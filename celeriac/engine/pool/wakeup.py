"""Waking a thread that waits in a selector."""

from __future__ import annotations

import socket


class Wakeup:
    """Something readable once somebody has called `wake`, until `clear`.

    A pair of sockets and not a pipe: Windows waits for sockets only.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0.0)
        self._is_awake = False

    def fileno(self) -> int:
        """Return what a selector waits for."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make it readable; callable from any thread and from a signal handler."""
        if self._is_awake:
            return
        self._is_awake = True
        try:
            self._writer.send(b"x")
        except OSError:
            # Full of wake-ups already; or closed, and nobody waits any more.
            return

    def clear(self) -> None:
        """Make it unreadable again; look at what came in only after this."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass
        # Last: a wake-up that is swallowed before this line is for something that came in before
        # it, and that whoever calls this is about to look at.
        self._is_awake = False

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
