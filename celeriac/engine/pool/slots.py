"""A small file in which a worker keeps which tasks truly run, readable after it was killed.

When a whole worker dies, the tasks it had claimed are many and those it was running few; only the
latter may have killed it. The file is mapped into memory, so that writing a slot costs no system
call and survives SIGKILL (it does not survive the machine, and need not: a lost machine charges
nobody).
"""

from __future__ import annotations

import contextlib
import heapq
import mmap
from pathlib import Path

_SLOT_BYTES = 256
_MOST_SLOTS = 16384


class Numbers:
    """The numbers of slots: whoever asks gets the smallest that is free."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """Return a number that nobody has."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Let somebody else have a number."""
        heapq.heappush(self._free, number)


class SlotFile:
    """The slots of one worker, written by it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        path.touch(mode=0o600)
        with path.open("r+b") as file:
            file.truncate(_SLOT_BYTES * _MOST_SLOTS)
            self._map = mmap.mmap(file.fileno(), _SLOT_BYTES * _MOST_SLOTS)

    def set(self, slot: int, task_id: str) -> None:
        """Say that a slot runs a task; an empty id says that it runs none."""
        if not 0 <= slot < _MOST_SLOTS:
            return
        # A longer id is cut, and matched by its beginning.
        text = task_id.encode()[: _SLOT_BYTES - 1]
        start = slot * _SLOT_BYTES
        self._map[start : start + len(text) + 1] = text + b"\0"

    def empty(self) -> None:
        """Say for good that no slot runs anything, and leave the file to whoever looks for it."""
        self._map.close()
        # With the whole folder gone, nobody looks for it.
        with contextlib.suppress(FileNotFoundError):
            self._path.write_bytes(b"")

    def remove(self) -> None:
        """Delete the file: the worker left in order."""
        self._map.close()
        self._path.unlink(missing_ok=True)


def read_slots(path: Path) -> frozenset[str] | None:
    """Return the ids of the tasks that a dead worker was running; None when nobody can tell."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    slots = (content[at : at + _SLOT_BYTES] for at in range(0, len(content), _SLOT_BYTES))
    texts = (slot.partition(b"\0")[0].decode(errors="replace") for slot in slots)
    return frozenset(text for text in texts if text)
