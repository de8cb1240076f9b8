"""Which source files have changed since the last look."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_Stamp = tuple[int, int]


class Sources:
    """The Python files of some folders, and how they looked last.

    Only the folders themselves are read, not what lies below them: somebody's tasks may lie in
    a home folder.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders: set[Path] = set()
        self._stamps: dict[Path, _Stamp] = {}
        self.add(folders)

    def add(self, folders: Iterable[Path]) -> None:
        """Look at more folders, from how they are now on."""
        for folder in set(folders) - self._folders:
            self._folders.add(folder)
            self._stamps.update(_look(folder))

    def changes(self) -> set[Path]:
        """Return the files that were written, came or went since the last call."""
        before, self._stamps = self._stamps, {}
        for folder in self._folders:
            self._stamps.update(_look(folder))
        everything = before.keys() | self._stamps.keys()
        return {path for path in everything if before.get(path) != self._stamps.get(path)}


def _look(folder: Path) -> dict[Path, _Stamp]:
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    found[folder / entry.name] = (status.st_mtime_ns, status.st_size)
    except OSError:
        # It is gone, or a file of it is while we look: the next look tells.
        return found
    return found
