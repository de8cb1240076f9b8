"""Where a file goes that leaves a program: into the store, when it is written as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


@contextmanager
def keeping(store: FileStore | None) -> Iterator[None]:
    """Keep the files that are written as JSON meanwhile; none of them if it ends in an error."""
    if store is None or _current.get() is not None:
        # Whoever began decides.
        yield
        return
    keeper = Keeper(store)
    token = _current.set(keeper)
    try:
        yield
    except UnavailableError:
        # It may have been committed all the same: the janitor looks after them.
        raise
    except Exception:
        keeper.discard()
        raise
    finally:
        _current.reset(token)
