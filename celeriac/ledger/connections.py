"""The connections of one process to one database, ready to be used again as they are.

To check a connection out of SQLAlchemy's pool, to reset it and to put it back takes a process that
has just been woken as long as a short statement. What comes back sound is kept beside the pool, and
needs none of that.
"""

from __future__ import annotations

import threading
from types import TracebackType

from sqlalchemy import Connection, Engine

# As many as the pool itself would keep.
_MOST_KEPT = 8


class Connections:
    """Gives connections out and takes them back; usable from any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        # The one used last is used next: it is warm.
        self._kept: list[Connection] = []
        # How often all were closed.
        self.closings = 0
        # How often it was found that the server had hung up.
        self.losses = 0
        # How many threads are asking the pool: what comes back is for them.
        self._asking = 0

    def use(self) -> Use:
        """Return a context that has a connection, and gives it back."""
        return Use(self)

    def take(self) -> Connection:
        """Return a connection that nobody else uses."""
        with self._lock:
            if self._kept:
                return self._kept.pop()
            self._asking += 1
        try:
            return self.engine.connect()
        finally:
            with self._lock:
                self._asking -= 1

    def give_back(self, connection: Connection, *, taken_after: int) -> None:
        """Take a connection back on which nothing went wrong.

        Args:
            connection: The connection.
            taken_after: How often all had been closed when it was taken.
        """
        if taken_after != self.closings:
            # Its pool is gone, and nobody would ever close what came back to it.
            connection.detach()
        elif not connection.in_transaction():
            with self._lock:
                if not self._asking and len(self._kept) < _MOST_KEPT:
                    self._kept.append(connection)
                    return
        connection.close()

    def drop(self, connection: Connection) -> None:
        """Take a connection back on which something went wrong."""
        if connection.invalidated:
            # Whoever hung up on this one has hung up on those as well.
            self.losses += 1
            self._close_kept()
        connection.close()

    def close(self) -> None:
        """Close every connection: one that is in use when it comes back. A later call opens new."""
        with self._lock:
            self.closings += 1
        self._close_kept()
        self.engine.dispose()

    def _close_kept(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, []
        for each in kept:
            each.close()


class Use:
    """A connection, for as long as somebody needs it."""

    __slots__ = ("_connection", "_connections", "_taken_after")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def __enter__(self) -> Connection:
        self._taken_after = self._connections.closings
        connection = self._connection = self._connections.take()
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._connections.give_back(self._connection, taken_after=self._taken_after)
        else:
            self._connections.drop(self._connection)
