"""Where files are kept: a folder that every process of a service can reach.

A file is written under a random name, brought to the disk and only then given its place, so that
whatever has a place is whole. Nothing that a caller says becomes a part of a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from celeriac.core.file_names import clean_content_type, clean_name
from celeriac.core.file_reference import FileId, FileReference
from celeriac.errors import FileNotKeptError, FilesUnavailableError

_DRAFTS = "drafts"
_CHUNK_BYTES = 256 * 1024
_ID = re.compile(r"[0-9a-f]{32}")
# Which ledger's files lie here; see `belongs_to`.
_OWNER = "ledger"


class Draft(Protocol):
    """A file that is being written, which nobody can find yet."""

    size_bytes: int

    def write(self, data: bytes) -> None:
        """Write on; FilesUnavailableError when there is no room."""
        ...

    def keep(self, *, name: str, content_type: str | None) -> FileReference:
        """Bring it to the disk and give it its place."""
        ...

    def discard(self) -> None:
        """Forget it."""
        ...


class FileStore(Protocol):
    """Where files are kept. Another than a folder (an object store, say) has these words too."""

    def draft(self) -> Draft:
        """Begin a file."""
        ...

    def path(self, reference: FileReference) -> Path:
        """Return where this process can read a file; FileNotKeptError when it is gone."""
        ...

    def remove(self, ids: Iterable[FileId]) -> None:
        """Delete files; one that is gone is left alone."""
        ...

    def walk(self) -> Iterator[FileId]:
        """Return every file there is, drafts too."""
        ...

    def belongs_to(self, ledger: str) -> bool:
        """Return whether the files here are those of a ledger, by the name it gave itself."""
        ...


class FolderStore:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        # A child may go to another folder while it runs.
        self._folder = folder.absolute()

    def draft(self) -> FolderDraft:
        """Begin a file.

        Raises:
            FilesUnavailableError: The folder cannot be written.
        """
        return FolderDraft(self._folder)

    def path(self, reference: FileReference) -> Path:
        """Return where a file lies.

        Raises:
            FileNotKeptError: It is not there.
        """
        path = _place(self._folder, reference.id)
        if not path.is_file():
            raise FileNotKeptError(reference.name)
        return path

    def remove(self, ids: Iterable[FileId]) -> None:
        """Delete files; one that is gone, or cannot be deleted now, is left alone."""
        for each in ids:
            for path in (_place(self._folder, each), self._folder / _DRAFTS / each):
                # A file that somebody holds open on Windows is deleted by a later sweep.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def walk(self) -> Iterator[FileId]:
        """Return every file there is, drafts too; anything else in the folder is none of ours."""
        try:
            folders = sorted(each for each in self._folder.iterdir() if each.is_dir())
        except OSError:
            return
        for folder in folders:
            with contextlib.suppress(OSError):
                names = sorted(each.name for each in folder.iterdir())
                yield from (FileId(name) for name in names if _ID.fullmatch(name))

    def belongs_to(self, ledger: str) -> bool:
        """Return whether the files here are those of a ledger; the first to ask has them.

        Two services that were pointed at one folder must not take each other's files for
        leftovers.
        """
        path = self._folder / _OWNER
        try:
            with contextlib.suppress(FileExistsError):
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(ledger)
        except OSError:
            return False
        return self.owner() == ledger

    def owner(self) -> str | None:
        """Return whose files lie here, by the name a ledger gave itself; None before one did."""
        try:
            return (self._folder / _OWNER).read_text(encoding="ascii", errors="replace") or None
        except OSError:
            return None

    def is_writable(self) -> bool:
        """Return whether this user may keep files here, as far as the folder's rights say."""
        # The folder comes with its first file; until then it is for the one above to allow.
        there = next(each for each in (self._folder, *self._folder.parents) if each.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


class FolderDraft:
    """A file that is being written into a folder."""

    def __init__(self, folder: Path) -> None:
        self.id = FileId(secrets.token_hex(16))
        self.size_bytes = 0
        self._folder = folder
        self._path = folder / _DRAFTS / self.id
        self._hash = hashlib.sha256()
        try:
            # Each by itself: a parent that is made by the way can be read by others.
            for made in (folder, self._path.parent):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        except OSError as error:
            raise FilesUnavailableError(str(error)) from error
        self._file = os.fdopen(handle, "wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, data: bytes) -> None:
        """Write on.

        Raises:
            FilesUnavailableError: There is no room, or the folder is gone.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError as error:
            raise FilesUnavailableError(str(error)) from error
        self._hash.update(data)
        self.size_bytes += len(data)

    def keep(self, *, name: str, content_type: str | None) -> FileReference:
        """Bring it to the disk and give it its place.

        Args:
            name: As its sender calls it.
            content_type: As its sender says; None goes by the name.

        Raises:
            FilesUnavailableError: The folder cannot be written.
        """
        place = _place(self._folder, self.id)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            place.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(place)
            # The name must be on the disk as well, before a row is committed that has it.
            for folder in (place.parent, self._folder):
                _sync_folder(folder)
        except OSError as error:
            self.discard()
            raise FilesUnavailableError(str(error)) from error
        cleaned = clean_name(name)
        return FileReference(
            id=self.id,
            name=cleaned,
            content_type=clean_content_type(content_type, cleaned),
            size_bytes=self.size_bytes,
            sha256=self._hash.hexdigest(),
        )

    def discard(self) -> None:
        """Forget it, unless it has its place already."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def keep_stream(
    store: FileStore, source: BinaryIO, *, name: str, content_type: str | None
) -> FileReference:
    """Keep what a stream holds from here to its end.

    Raises:
        FilesUnavailableError: The store cannot be written.
    """
    draft = store.draft()
    try:
        while data := source.read(_CHUNK_BYTES):
            draft.write(data)
        return draft.keep(name=name, content_type=content_type)
    except BaseException:
        draft.discard()
        raise


# Windows would write a line's end as two bytes otherwise.
_BINARY = getattr(os, "O_BINARY", 0)


def _place(folder: Path, file_id: FileId) -> Path:
    # Never a path of somebody's making, whatever stands in a row.
    if not _ID.fullmatch(file_id):
        raise FileNotKeptError(file_id)
    # 256 folders: one with a million files is slow to list.
    return folder / file_id[:2] / file_id


def _sync_folder(folder: Path) -> None:
    # Windows opens no folders, and writes their names by itself.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
