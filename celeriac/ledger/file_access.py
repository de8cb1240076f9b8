"""A SQLite file: anybody reads; one at a time on its machine writes, in a line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from celeriac.errors import LedgerUnavailableError
from celeriac.ledger.ahead import IS_POSSIBLE, Ahead
from celeriac.ledger.connections import Connections
from celeriac.ledger.engines import TURN_SECONDS, identity_of, make_file
from celeriac.ledger.line import WritersLine
from celeriac.ledger.transaction import Act, Doubt, Shape, T, transact

_BEGIN = "BEGIN IMMEDIATE"


class FileAccess:
    """A file whose users all live on its machine, and end with it.

    SQLite plans a statement once whatever its shape.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Asked for before each statement: to make it of a `Path` takes longer.
        self._name = str(path)
        self._line: WritersLine | None = None
        self._line_lock = threading.Lock()
        # Which file the path named when it was opened; None before that.
        self._identity: tuple[int, int] | None = None

    def read(self, connections: Connections, act: Act[T], *, shape: Shape) -> T:
        """Run something that only reads, each statement for itself."""
        self._check()
        with connections.use() as connection:
            return act(connection)

    def write(self, connections: Connections, act: Act[T], doubt: Doubt, *, shape: Shape) -> T:
        """Run something in a transaction that is on the disk before anybody sees it."""
        return self._write(connections, act, doubt, has_priority=False)

    def _write(
        self, connections: Connections, act: Act[T], doubt: Doubt, *, has_priority: bool
    ) -> T:
        with self._turn(has_priority=has_priority):
            self._check()
            with connections.use() as connection:
                return transact(connection, act, doubt, begin=_BEGIN)

    def write_ahead(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        seen: Callable[[T], None],
    ) -> T:
        """Run something in a transaction that others see before it is on the disk.

        Somebody waits for it: it goes before what nobody waits for.
        """

        def tell(value: T) -> bool:
            seen(value)
            return True

        return self._write_ahead(connections, act, doubt, is_promise=tell, has_priority=True)

    def write_passing(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        shape: Shape,
        is_promise: Callable[[T], bool],
    ) -> T:
        """Run something in a transaction that is on the disk by the next one that waits for it.

        Unless it is found to be a promise when others see it: then this waits.
        """
        return self._write_ahead(connections, act, doubt, is_promise=is_promise, has_priority=False)

    def _write_ahead(
        self,
        connections: Connections,
        act: Act[T],
        doubt: Doubt,
        *,
        is_promise: Callable[[T], bool],
        has_priority: bool,
    ) -> T:
        if not IS_POSSIBLE:
            value = self._write(connections, act, doubt, has_priority=has_priority)
            is_promise(value)
            return value
        with Ahead(self._name) as ahead:
            with self._turn(has_priority=has_priority):
                self._check()
                with connections.use() as connection, ahead.prepared(connection):
                    value = transact(connection, ahead.opening(act), doubt, begin=_BEGIN)
            # The turn is another one's by now.
            if is_promise(value):
                ahead.sync()
            return value

    @property
    def is_awaited(self) -> bool:
        """Whether writers with priority had to wait for one of this process lately."""
        return self._line is not None and self._line.is_awaited

    def open(self) -> None:
        """Make the file if it is not there, for nobody else's eyes.

        Raises:
            LedgerUnavailableError: There can be no such file.
        """
        self._opened()

    def forget(self) -> None:
        """Start afresh in a forked child, whose parent may be in the middle of something."""
        self._line_lock = threading.Lock()
        self._leave_line()

    def close(self) -> None:
        """Let go of the file; a later call opens it, or what stands in its place by then."""
        self._leave_line()
        self._identity = None

    def _check(self) -> None:
        """Refuse a path that names another file than the open one, or none.

        What is written to a file that was removed is lost when the last process closes it.
        """
        if self._identity is None or identity_of(self._name) == self._identity:
            return
        raise LedgerUnavailableError(
            f"{self._path}: it was removed or replaced while it was in use"
        )

    def _opened(self) -> WritersLine:
        """Return the line of this machine's writers of the file; make what is missing."""
        with self._line_lock:
            if self._line is None:
                try:
                    # A child opens the file of its parent, and makes no other in its place.
                    if self._identity is None:
                        make_file(self._path)
                        self._identity = identity_of(self._name)
                    self._line = WritersLine(self._path)
                except OSError as error:
                    raise LedgerUnavailableError(f"{self._path}: {error.strerror}") from error
            return self._line

    def _leave_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _turn(self, *, has_priority: bool) -> AbstractContextManager[None]:
        return self._opened().turn(timeout_seconds=TURN_SECONDS, has_priority=has_priority)
