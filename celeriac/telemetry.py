"""What is counted while a process runs: the facts nobody is told of one by one."""

from __future__ import annotations

import threading
from collections import Counter


class Counters:
    """Named counts that only rise, safe to raise from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Raise one count; a count of zero changes nothing."""
        if count:
            with self._lock:
                self._counts[name] += count

    def snapshot(self) -> dict[str, int]:
        """Return every count that has risen, by name."""
        with self._lock:
            return dict(self._counts)
