"""The programs' log files: read on from where we were, and kept from growing for ever."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_LARGEST_BYTES = 16 * 1024 * 1024
_BITE_BYTES = 256 * 1024


class LogReader:
    """Reads what a program has said since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # What was said before this start is known.
        self._at = path.stat().st_size if path.exists() else 0

    def read_lines(self) -> list[str]:
        """Return the whole lines that are new; of a flood, the end."""
        try:
            size = self._path.stat().st_size
            if size < self._at:
                self._at = 0
            if size == self._at:
                return []
            with self._path.open("rb") as file:
                file.seek(max(self._at, size - _BITE_BYTES))
                start = file.tell()
                said = file.read(_BITE_BYTES)
        except OSError:
            return []
        whole, newline, _ = said.rpartition(b"\n")
        self._at = start + len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()

    def limit(self) -> None:
        """Move what was said to a second file when there is too much of it.

        The program keeps the file open and appends, so the file is emptied, not renamed.
        """
        try:
            if self._path.stat().st_size < _LARGEST_BYTES:
                return
            shutil.copyfile(self._path, self._path.with_suffix(".log.1"))
            self._path.with_suffix(".log.1").chmod(0o600)
            os.truncate(self._path, 0)
        except OSError:
            return
        self._at = 0
