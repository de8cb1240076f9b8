"""A file, as task functions take it and give it back."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from celeriac.core.file_fields import file_schema
from celeriac.core.file_names import UNKNOWN_TYPE, clean_content_type, clean_name, matches_type
from celeriac.core.file_reference import (
    MARK,
    FileId,
    FileReference,
    find_file_ids,
    read_reference,
)
from celeriac.errors import FieldProblem, FileNotKeptError, InvalidArgumentsError
from celeriac.files.keeping import current_keeper
from celeriac.files.store import FileStore

Json = Any
A_FILE = (
    "a file (over HTTP as multipart/form-data, in Python a Path or an open file, "
    "on the command line @FILE)"
)


class File:
    """A file: an argument or the result of a task.

    In the body of a task it is there to be read. To submit one, make it of a path or of bytes:

        thumbnail.submit(File("cat.png"), width=128)

    A function that returns one gives its caller a download.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        content_type: str | None = None,
    ) -> None:
        """Name a file of this machine; it is read when it is sent or asked for.

        Args:
            path: Where it lies.
            name: What it is called for others; None is the path's last part.
            content_type: What it is; None goes by the name.

        Raises:
            FileNotFoundError: There is no such file.
        """
        self._source: Path | bytes | tuple[FileStore | None, FileReference] = Path(path)
        if not self._source.is_file():
            raise FileNotFoundError(f"there is no file {os.fspath(path)}")
        self.name = clean_name(name or self._source.name)
        self.content_type = clean_content_type(content_type, self.name)

    @classmethod
    def from_bytes(cls, name: str, data: bytes, *, content_type: str | None = None) -> Self:
        """Return a file of what a program has made.

        Args:
            name: What it is called.
            data: What it holds.
            content_type: What it is; None goes by the name.
        """
        return cls._of(bytes(data), name, content_type)

    @classmethod
    def from_reference(cls, reference: FileReference, *, store: FileStore | None) -> Self:
        """Return a file that is kept; without its store it cannot be read."""
        return cls._of((store, reference), reference.name, reference.content_type)

    @classmethod
    def _of(cls, source: Any, name: str, content_type: str | None) -> Self:
        made = cls.__new__(cls)
        made._source = source  # noqa: SLF001 - one of its own kind
        made.name = clean_name(name)
        made.content_type = clean_content_type(content_type, made.name)
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.content_type})"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        if isinstance(self._source, tuple):
            return self._source[1].size_bytes
        if isinstance(self._source, bytes):
            return len(self._source)
        return self.path.stat().st_size

    @property
    def path(self) -> Path:
        """Where it can be read on this machine, under a name that says nothing.

        Raises:
            FileNotKeptError: It is not there any more, or this machine does not share the folder.
        """
        if isinstance(self._source, tuple):
            store, reference = self._source
            if store is None:
                raise FileNotKeptError(reference.name)
            return store.path(reference)
        if isinstance(self._source, bytes):
            self._source = _write_down(self, self._source)
        return self._source

    def open(self) -> BinaryIO:
        """Open it for reading.

        Raises:
            FileNotKeptError: It is not there any more, or this machine does not share the folder.
        """
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self.path.open("rb")

    def read(self) -> bytes:
        """Return all it holds.

        Raises:
            FileNotKeptError: It is not there any more, or this machine does not share the folder.
        """
        return self._source if isinstance(self._source, bytes) else self.path.read_bytes()

    def to_json(self) -> dict[str, Json]:
        """Return the reference to it; the file is kept where files are kept at this moment.

        Raises:
            TypeError: Nobody keeps files here.
            FilesUnavailableError: It cannot be kept.
        """
        if isinstance(self._source, tuple):
            return self._source[1].to_json()
        keeper = current_keeper()
        if keeper is None:
            raise TypeError("a File can be sent to, and returned by, functions with @task only")
        return keeper.keep(self).to_json()

    # What kombu's typed JSON asks a value for.
    __json__ = to_json

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Tell pydantic how a file comes in and goes out."""
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(
            _validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.to_json, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Json]:
        """Tell pydantic how a file stands in a schema."""
        return file_schema(UNKNOWN_TYPE)


class Accept:
    """Beside `File` in an `Annotated`: of which content type a file must be, such as `image/*`."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Tell pydantic to check it after the file has come in."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Json]:
        """Tell pydantic how it stands in a schema."""
        return file_schema(self.pattern)

    def _check(self, file: File) -> File:
        if not matches_type(file.content_type, self.pattern):
            raise _problem(f"must be {self.pattern}, and this is {file.content_type}")
        return file


class Door(Protocol):
    """Where a file comes in: what stands for one there."""

    def find(self, value: Json) -> File | None:
        """Return the file that a value out of JSON stands for; None when it stands for none."""
        ...


class SentFiles:
    """The door of HTTP: only what came with this very request is a file."""

    def __init__(self, ids: frozenset[FileId]) -> None:
        self._ids = ids

    def find(self, value: Json) -> File | None:
        """Return a file that was sent along, to be looked at and not read."""
        reference = read_reference(value)
        if reference is None or reference.id not in self._ids:
            return None
        return File.from_reference(reference, store=None)


def refuse_strangers(name: str, text: str, files: frozenset[FileId]) -> None:
    """Return if arguments speak only of files that their sender may speak of.

    Also where a task takes any JSON: what stands in its row, its caller may read.

    Raises:
        InvalidArgumentsError: They speak of another.
    """
    if find_file_ids(text) - files:
        problem = FieldProblem("", f"{MARK} speaks of a file that did not come with it")
        raise InvalidArgumentsError(name, (problem,))


class KeptFiles:
    """The door of a worker: what a row refers to."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def find(self, value: Json) -> File | None:
        """Return a file that is kept."""
        reference = read_reference(value)
        return None if reference is None else File.from_reference(reference, store=self._store)


def open_files(value: Json, door: Door) -> Any:
    """Return a value out of JSON with every file in it as a `File`."""
    found = door.find(value)
    if found is not None:
        return found
    if isinstance(value, dict):
        return {name: open_files(each, door) for name, each in value.items()}
    if isinstance(value, list):
        return [open_files(each, door) for each in value]
    return value


def _validate(value: Any, info: Any) -> File:
    if isinstance(value, File):
        return value
    door = info.context
    found: File | None = door.find(value) if door is not None else None
    if found is None:
        raise _problem(f"must be {A_FILE}")
    return found


def _problem(detail: str) -> Exception:
    from pydantic_core import PydanticCustomError

    error: Exception = PydanticCustomError("file", "{detail}", {"detail": detail})
    return error


def _write_down(owner: File, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix="celeriac-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    weakref.finalize(owner, _forget, name)
    return Path(name)


def _forget(name: str) -> None:
    with contextlib.suppress(OSError):
        Path(name).unlink()
