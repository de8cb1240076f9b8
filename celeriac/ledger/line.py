"""The line in which the writers of one SQLite file stand, on one machine.

SQLite's own busy wait is a ladder of longer and longer sleeps, so that whoever came last is often
served first. Here a writer first waits for the place at the head of the line, then for its turn.
Whoever has just written must queue for the head again, so a busy process cannot starve another.

A writer for whose end somebody waits has priority: it waits for the one whose turn it is, and for
no other. The others let such writers pass for a moment, and then insist.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
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


# How long a writer at the head of the line lets others pass.
_PATIENCE_SECONDS = 0.02
# How long those that had to wait are remembered.
_MEMORY_SECONDS = 0.25


class LineTooLongError(Exception):
    """It was not this writer's turn in time."""


class _Place:
    """Something that one thread of one process on this machine has at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        # A lock of its own open file: other `Ledger` objects of this process queue as well.
        self._file = None if _fcntl is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, deadline: float, may_try: Callable[[], bool] | None = None) -> None:
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise LineTooLongError
        try:
            while not ((may_try is None or may_try()) and self._try_file()):
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


class _WatchedPlace(_Place):
    """One of which others can see whether somebody has it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # Another open file: a look through the first one would take and lose this process's lock.
        self._looking = None if _fcntl is None else os.open(path, os.O_RDWR)

    def is_taken(self) -> bool:
        if _fcntl is None or self._looking is None:
            return self._lock.locked()
        try:
            _fcntl.flock(self._looking, _fcntl.LOCK_SH | _fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        _fcntl.flock(self._looking, _fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        super().close()
        if self._looking is not None:
            os.close(self._looking)
            self._looking = None


class WritersLine:
    """One writer at a time for one SQLite file, in the order in which they came to its head."""

    def __init__(self, database: Path) -> None:
        self._head = _Place(database.with_name(f"{database.name}-line"))
        self._turn = _Place(database.with_name(f"{database.name}-turn"))
        # The head of those who go first.
        self._first = _WatchedPlace(database.with_name(f"{database.name}-first"))
        # When somebody was last seen to wait there, by the monotonic clock.
        self._seen_at = float("-inf")

    @property
    def is_awaited(self) -> bool:
        """Whether writers with priority had to wait for one of this process lately."""
        return time.monotonic() - self._seen_at < _MEMORY_SECONDS

    @contextmanager
    def turn(self, *, timeout_seconds: float, has_priority: bool = False) -> Iterator[None]:
        """Wait for this writer's turn and keep it for the length of the block.

        Args:
            timeout_seconds: How long to wait at the most.
            has_priority: Somebody waits for this writer's end: it goes before those that have none.

        Raises:
            LineTooLongError: It did not come in time.
        """
        deadline = time.monotonic() + timeout_seconds
        head = self._first if has_priority else self._head
        head.take(deadline)
        try:
            self._turn.take(deadline, None if has_priority else self._courtesy())
        finally:
            head.leave()
        try:
            yield
        finally:
            if not has_priority:
                self._look()
            self._turn.leave()

    def close(self) -> None:
        """Give the files back; in a forked child this leaves its parent's turn alone."""
        self._head.close()
        self._turn.close()
        self._first.close()

    def _courtesy(self) -> Callable[[], bool]:
        """Return what says whether a writer without priority may have the turn now."""
        insists_at = time.monotonic() + _PATIENCE_SECONDS
        return lambda: not self._look() or time.monotonic() >= insists_at

    def _look(self) -> bool:
        is_awaited = self._first.is_taken()
        if is_awaited:
            self._seen_at = time.monotonic()
        return is_awaited
