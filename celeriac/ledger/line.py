"""The line in which the writers of one SQLite file stand, on one machine.

SQLite's own busy wait is a ladder of longer and longer sleeps, so that whoever came last is often
served first. Here a writer first waits for the place at the head of the line, then for its turn.
Whoever has just written must queue for the head again, so a busy process cannot starve another.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

# Windows has none: SQLite's busy wait alone keeps the writers of several processes apart there.
_fcntl: ModuleType | None
try:
    _fcntl = importlib.import_module("fcntl")
except ImportError:
    _fcntl = None

# One transaction takes about a millisecond; only one process, the head of the line, polls a turn.
_POLL_SECONDS = 0.0003


class LineTooLongError(Exception):
    """It was not this writer's turn in time."""


class _Place:
    """Something that one thread of one process on this machine has at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        # A lock of its own open file: other `Ledger` objects of this process queue as well.
        self._file = None if _fcntl is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, deadline: float) -> None:
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LineTooLongError
        try:
            while not self._try_file():
                if time.monotonic() > deadline:
                    raise LineTooLongError
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self._lock.release()
            raise

    def leave(self) -> None:
        if _fcntl is not None and self._file is not None:
            _fcntl.flock(self._file, _fcntl.LOCK_UN)
        self._lock.release()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try_file(self) -> bool:
        if _fcntl is None or self._file is None:
            return True
        try:
            _fcntl.flock(self._file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class WritersLine:
    """One writer at a time for one SQLite file, in the order in which they came to its head."""

    def __init__(self, database: Path) -> None:
        self._head = _Place(database.with_name(f"{database.name}-line"))
        self._turn = _Place(database.with_name(f"{database.name}-turn"))

    @contextmanager
    def turn(self, *, timeout_seconds: float) -> Iterator[None]:
        """Wait for this writer's turn and keep it for the length of the block.

        Raises:
            LineTooLongError: It did not come in time.
        """
        deadline = time.monotonic() + timeout_seconds
        self._head.take(deadline)
        try:
            self._turn.take(deadline)
        finally:
            self._head.leave()
        try:
            yield
        finally:
            self._turn.leave()

    def close(self) -> None:
        """Give the files back; in a forked child this leaves its parent's turn alone."""
        self._head.close()
        self._turn.close()
