"""Commits of a SQLite database that are seen before they are on the disk.

SQLite brings a commit to the disk before it lets anybody see it, and no other process writes
meanwhile. What promises nothing yet can do without both: it is seen at once, the next writer has
its turn, and whoever promises something by it waits for the disk after that. A commit in SQLite's
log is good only together with all that stand before it, so that nothing outlives what it was made
of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from celeriac.ledger.driver import execute
from celeriac.ledger.transaction import Act, T

# Elsewhere a file that is open cannot be deleted, and SQLite deletes its log.
IS_POSSIBLE = os.name == "posix"
# The length of the file is brought along; when it was last changed need not be. macOS has no such.
_sync = getattr(os, "fdatasync", os.fsync)


class Ahead:
    """One such commit. A context: round the transaction and what waits for the disk after it."""

    def __init__(self, database: str) -> None:
        self._log_path = f"{database}-wal"
        self._log: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None

    @contextmanager
    def prepared(self, connection: Connection) -> Iterator[None]:
        """Have a connection wait for no disk; left as every other is, after its transaction."""
        execute(connection, "PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            if not connection.invalidated:
                _restore(connection)

    def opening(self, act: Act[T]) -> Act[T]:
        """Return what opens the log before it acts: now nobody deletes it and begins another one.

        And not after the commit: of an error that comes in between, only those hear who have it
        open.
        """

        def opened(connection: Connection) -> T:
            self._log = os.open(self._log_path, os.O_RDWR | os.O_CLOEXEC)
            return act(connection)

        return opened

    def sync(self) -> None:
        """Return when the commit is on the disk.

        Raises:
            OSError: Nobody knows whether it is.
        """
        if self._log is not None:
            _sync(self._log)


def _restore(connection: Connection) -> None:
    try:
        execute(connection, "PRAGMA synchronous=FULL")
    except SQLAlchemyError:
        # Nobody shall write over it and take what is written for kept.
        connection.invalidate()
