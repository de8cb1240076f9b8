"""What task functions leave behind, and gates that hold them: files that every process sees."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One line: who left it, when by the machine's monotonic clock, and some text."""

    key: str
    pid: int
    at: float
    text: str


class Effects:
    """An append-only table without a unique key, so that a double shows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS effects (key, pid, at, text)")

    def add(self, key: str, *, pid: int, text: str = "") -> None:
        """Append one line and commit it."""
        with self._connection() as connection:
            row = (key, pid, time.monotonic(), text)
            connection.execute("INSERT INTO effects VALUES (?, ?, ?, ?)", row)

    def of(self, key: str) -> list[Effect]:
        """Return every line of one key, in the order of writing."""
        return self._select("WHERE key = ?", key)

    def all(self) -> list[Effect]:
        """Return every line, in the order of writing."""
        return self._select("")

    def _select(self, where: str, *values: str) -> list[Effect]:
        with self._connection() as connection:
            rows = connection.execute(
                f"SELECT key, pid, at, text FROM effects {where} ORDER BY rowid", values
            ).fetchall()
        return [Effect(key=key, pid=pid, at=at, text=text) for key, pid, at, text in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # A connection per call: task functions run in processes and threads of any kind.
        connection = sqlite3.connect(self._file, timeout=20, isolation_level=None)
        try:
            # The machine does not lose power in these tests; only processes die.
            connection.execute("PRAGMA synchronous=OFF")
            yield connection
        finally:
            connection.close()


class Gates:
    """Named gates at which a task function waits until the test opens them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, key: str) -> None:
        """Let everybody through who waits or will wait here."""
        self._file(key).touch()

    def is_open(self, key: str) -> bool:
        """Return whether everybody is let through here."""
        return self._file(key).exists()

    def wait(self, key: str, *, seconds: float = 30) -> None:
        """Wait until the gate is open."""
        deadline = time.monotonic() + seconds
        while not self.is_open(key):
            if time.monotonic() > deadline:
                raise TimeoutError(key)
            time.sleep(0.01)

    def _file(self, key: str) -> Path:
        return self._folder / quote(key, safe="")
