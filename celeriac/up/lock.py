"""The lock on a data folder: one `celeriac up` per folder.

The lock is the operating system's, on an open file. It ends with the process that holds it,
whatever ends that process; a file that merely exists locks nothing.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from celeriac.errors import DataFolderInUseError, DataFolderLostError, SettingsError
from celeriac.service.profiles import local_profile, read_profile
from celeriac.service.secrets import folder_refusal

# Far behind what the file holds: on Windows nobody else can read the bytes that are locked.
_LOCKED_BYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a data folder, as it wrote it down itself."""

    pid: int
    since: str

    def __str__(self) -> str:
        """Return the words by which a person finds the process."""
        return f"`celeriac up` with the process id {self.pid}, started {self.since}"

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Read what a holder wrote; None when it did not get that far."""
        try:
            facts = json.loads(text)
            return cls(pid=int(facts["pid"]), since=str(facts["since"]))
        except (ValueError, KeyError, TypeError):
            return None


class DataFolderLock:
    """The right to run in a data folder."""

    def __init__(self, data_dir: Path, *, ledger: Path | None = None) -> None:
        """Prepare to take it.

        Args:
            data_dir: The folder.
            ledger: The file of the ledger that is used with it, if it is one.
        """
        self._data_dir = data_dir
        self._ledger = ledger
        # Which file it was when it was first seen there.
        self._ledger_seen: tuple[int, int] | None = None
        self._path = data_dir / "up" / "up.lock"
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock and write down who holds it.

        Raises:
            DataFolderInUseError: Another process has it.
            SettingsError: The folder cannot be written to, or is full.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise folder_refusal(self._data_dir, error) from error
        # Without a buffer: what finds no room on the disk is told where it is written.
        file = os.fdopen(handle, "r+b", buffering=0)
        if not _try_lock(file):
            holder = Holder.from_text(file.read().decode(errors="replace"))
            file.close()
            words = str(holder) if holder else "another `celeriac up`"
            url = _where(self._data_dir)
            if url:
                words += f", at {url}"
            pid = holder.pid if holder else 0
            raise DataFolderInUseError(str(self._data_dir), words, pid=pid, url=url)
        try:
            _write_holder(file)
        except OSError as error:
            file.close()
            raise folder_refusal(self._data_dir, error) from error
        self._file = file

    def check(self) -> None:
        """Return while the folder is the one that was locked, with the ledger that was there.

        Raises:
            DataFolderLostError: One is gone, or another one lies in its place.
        """
        if self._file is None:
            return
        try:
            is_ours = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            is_ours = False
        if not is_ours:
            raise DataFolderLostError(str(self._data_dir))
        # By its name alone: to open and close SQLite's file ends the locks we hold on it.
        found = None if self._ledger is None else _find_identity(self._ledger)
        if self._ledger_seen not in (None, found):
            raise DataFolderLostError(str(self._data_dir), ledger=str(self._ledger))
        self._ledger_seen = found

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _find_identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _write_holder(file: IO[bytes]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"pid": os.getpid(), "since": now}).encode())


def _where(data_dir: Path) -> str:
    """Return where the holder was to be reached last, if it got that far."""
    try:
        profile = read_profile(local_profile(data_dir))
    except SettingsError:
        return ""
    return "" if profile is None else profile.url


def is_held(data_dir: Path) -> bool:
    """Say whether an `up` runs on a data folder."""
    try:
        file = (data_dir / "up" / "up.lock").open("r+b")
    except OSError:
        return False
    with file:
        return not _try_lock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            try:
                import fcntl
            except ImportError:
                # A POSIX without it has no other program to share the folder with either.
                return True
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        return False
    return True
