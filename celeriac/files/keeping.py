"""Where a file goes that leaves a program: into the store, when it is written as JSON."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import BinaryIO, Protocol

from celeriac.core.file_reference import FileReference
from celeriac.errors import UnavailableError
from celeriac.files.store import FileStore, keep_stream


class Loose(Protocol):
    """A file that is not kept."""

    name: str
    content_type: str

    def open(self) -> BinaryIO:
        """Open it for reading."""
        ...


class Keeper:
    """A store, and what was put there since somebody began to send."""

    __slots__ = ("_kept", "_store")

    def __init__(self, store: FileStore) -> None:
        self._store = store
        # With the file itself, so that no other takes its place in memory meanwhile.
        self._kept: dict[int, tuple[Loose, FileReference]] = {}

    def keep(self, file: Loose) -> FileReference:
        """Keep a file, once however often it is written.

        Raises:
            FilesUnavailableError: The store cannot be written.
        """
        found = self._kept.get(id(file))
        if found is None:
            with file.open() as source:
                reference = keep_stream(
                    self._store, source, name=file.name, content_type=file.content_type
                )
            found = self._kept[id(file)] = (file, reference)
        return found[1]

    def discard(self) -> None:
        """Delete what was kept."""
        self._store.remove([reference.id for _, reference in self._kept.values()])


_current: ContextVar[Keeper | None] = ContextVar("celeriac_keeper", default=None)


def current_keeper() -> Keeper | None:
    """Return who keeps the files that are written as JSON here and now; None keeps none."""
    return _current.get()


class keeping:  # noqa: N801 - read as a verb: `with keeping(store)`
    """Keep the files that are written as JSON meanwhile; none of them if it ends in an error.

    A class and no generator: every `.delay()` goes through here, with a file or without.
    """

    __slots__ = ("_keeper", "_store", "_token")

    def __init__(self, store: FileStore | None) -> None:
        """Take the store; None keeps none."""
        self._store = store
        self._keeper: Keeper | None = None

    def __enter__(self) -> None:
        # Whoever began decides.
        if self._store is not None and _current.get() is None:
            self._keeper = Keeper(self._store)
            self._token = _current.set(self._keeper)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keeper is None:
            return
        _current.reset(self._token)
        # What is unavailable may have been committed all the same: the janitor looks after it.
        if isinstance(error, Exception) and not isinstance(error, UnavailableError):
            self._keeper.discard()
