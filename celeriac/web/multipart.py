"""Reading `multipart/form-data`: files go to the store as they come, and are never whole in memory.

Nothing is believed that the body says of itself: every byte is counted, names and content types
are cleaned, and a part that nobody asked for ends the reading before its content is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from celeriac.core.file_fields import FileField
from celeriac.core.file_reference import FileReference
from celeriac.errors import FieldProblem
from celeriac.files.store import Draft, FileStore
from celeriac.web.bodies import parameter_of
from celeriac.web.problems import to_pointer
from celeriac.web.refusals import BodyTooLargeError, BrokenBodyError, InvalidBodyError

MULTIPART_TYPE = "multipart/form-data"
_MOST_PARTS = 500
_MOST_NAME_BYTES = 255
# Parsed in a thread, and a hop there for every packet would cost more than the parsing.
_BITE_BYTES = 256 * 1024
# A browser writes these in a name, and nothing else, by their codes (WHATWG, 4.10.21.8).
_ESCAPES = {"%22": '"', "%0D": " ", "%0A": " "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A part that is no file."""

    value: str
    # Whether it says of itself that it is JSON.
    is_json: bool


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a body held, in order."""

    texts: dict[str, list[Text]] = field(default_factory=dict)
    files: dict[str, list[FileReference]] = field(default_factory=dict)
    # The names of those that were thrown away as they came.
    unkept: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a body may hold."""

    # All files together, and all texts together.
    most_file_bytes: int
    most_text_bytes: int
    # The fields that are files.
    file_fields: Mapping[str, FileField]

    @property
    def most_bytes(self) -> int:
        """The whole body."""
        return self.most_file_bytes + self.most_text_bytes


async def read_multipart(
    request: Request,
    boundary: bytes,
    *,
    store: FileStore,
    bounds: Bounds,
    is_to_keep: Callable[[Parts], bool] = lambda _: True,
) -> Parts:
    """Return what a body holds, its files kept.

    Args:
        request: Whose body.
        boundary: What stands between its parts.
        store: Where its files go.
        bounds: What it may hold.
        is_to_keep: Called with what came so far when the first file begins: whether files are kept.
            Those that are not never come as far as the disk, and are counted all the same.

    Raises:
        BodyTooLargeError: It is too large; the rest was not read.
        BrokenBodyError: It is none, or ends too early.
        InvalidBodyError: It holds what was not asked for.
        FilesUnavailableError: A file cannot be kept.
    """
    reader = _Reader(boundary, store=store, bounds=bounds, is_to_keep=is_to_keep)
    total = 0
    bite = bytearray()
    try:
        async for chunk in request.stream():
            total += len(chunk)
            # What follows the last part is thrown away, but not without end.
            if total > bounds.most_bytes:
                raise BodyTooLargeError(bounds.most_file_bytes)
            bite += chunk
            if len(bite) >= _BITE_BYTES:
                await run_in_threadpool(reader.feed, bytes(bite))
                bite.clear()
        await run_in_threadpool(reader.end, bytes(bite))
    except BaseException:
        # A caller who hangs up, too.
        reader.discard()
        raise
    return reader.found


def boundary_of(content_type: str) -> bytes | None:
    """Return what stands between the parts of a body; None when it is no form of parts.

    Raises:
        BrokenBodyError: Nothing stands there, or too much.
    """
    boundary = parameter_of(content_type, "boundary", wanted=MULTIPART_TYPE, default="")
    if boundary is None:
        return None
    if not boundary.isascii() or not 0 < len(boundary) <= 70:
        raise BrokenBodyError(f"{MULTIPART_TYPE} with a boundary")
    return boundary.encode("ascii")


class _Reader:
    """The parts of one body, one after the other."""

    def __init__(
        self,
        boundary: bytes,
        *,
        store: FileStore,
        bounds: Bounds,
        is_to_keep: Callable[[Parts], bool],
    ) -> None:
        self.found = Parts()
        self._store = store
        self._bounds = bounds
        self._is_to_keep = is_to_keep
        # Unknown before the first file.
        self._is_kept: bool | None = None
        self._file_bytes = 0
        self._text_bytes = 0
        self._parts = 0
        self._is_ended = False
        # Of the part that is being read.
        self._headers: dict[str, str] = {}
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._name = ""
        self._file_name: str | None = None
        self._text = bytearray()
        self._draft: Draft | None = None
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_part_end": self._close,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BrokenBodyError(MULTIPART_TYPE) from None

    def end(self, data: bytes) -> None:
        """Read the last of it."""
        self.feed(data)
        if not self._is_ended:
            raise BrokenBodyError(f"whole: its last part does not end as {MULTIPART_TYPE} does")

    def discard(self) -> None:
        """Forget every file."""
        if self._draft is not None:
            self._draft.discard()
        files = [each.id for found in self.found.files.values() for each in found]
        self._store.remove(files)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InvalidBodyError(FieldProblem("", f"more than {_MOST_PARTS} parts"))
        self._headers = {}
        self._text = bytearray()

    def _end_header(self) -> None:
        name, value = self._header
        # Byte for byte, as the library wants it; what is in there is read as UTF-8 later.
        self._headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
        self._header = (bytearray(), bytearray())

    def _open(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition", ""))
        if kind != b"form-data" or b"name" not in options:
            raise BrokenBodyError(f"{MULTIPART_TYPE}: a part does not say which field it is")
        if len(options[b"name"]) > _MOST_NAME_BYTES:
            raise InvalidBodyError(FieldProblem("", "the name of a field is too long"))
        self._name = _unescape(_decode(options[b"name"]))
        if "\0" in self._name:
            raise InvalidBodyError(FieldProblem("", "the name of a field holds the character NUL"))
        given = options.get(b"filename")
        self._file_name = None if given is None else _unescape(_decode(given))
        if self._file_name is not None:
            if self._is_kept is None:
                self._is_kept = self._is_to_keep(self.found)
            if self._is_kept:
                self._check_file(self._name)
                self._draft = self._store.draft()

    def _check_file(self, name: str) -> None:
        wanted = self._bounds.file_fields.get(name)
        if wanted is None:
            raise InvalidBodyError(FieldProblem(to_pointer(name), "is no file"))
        if name in self.found.files and not wanted.is_many:
            raise InvalidBodyError(FieldProblem(to_pointer(name), "is given twice"))

    def _take(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        if self._file_name is not None:
            self._file_bytes += size
            if self._file_bytes > self._bounds.most_file_bytes:
                raise BodyTooLargeError(self._bounds.most_file_bytes)
            if self._draft is not None:
                self._draft.write(data[start:end])
            return
        self._text_bytes += size
        if self._text_bytes > self._bounds.most_text_bytes:
            raise BodyTooLargeError(self._bounds.most_text_bytes)
        self._text += data[start:end]

    def _close(self) -> None:
        if self._file_name is None:
            value = _decode(bytes(self._text))
            if "\0" in value:
                raise InvalidBodyError(
                    FieldProblem(to_pointer(self._name), "holds the character NUL")
                )
            text = Text(
                value=value,
                is_json=self._headers.get("content-type", "").startswith("application/json"),
            )
            self.found.texts.setdefault(self._name, []).append(text)
            return
        draft, self._draft = self._draft, None
        if draft is None:
            # Without a name nothing was chosen.
            if self._file_name:
                self.found.unkept.setdefault(self._name, []).append(self._file_name)
            return
        if not self._file_name and not draft.size_bytes:
            # What a browser sends for a field in which nothing was chosen.
            draft.discard()
            return
        reference = draft.keep(name=self._file_name, content_type=self._headers.get("content-type"))
        self.found.files.setdefault(self._name, []).append(reference)

    def _end(self) -> None:
        self._is_ended = True


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BrokenBodyError(f"{MULTIPART_TYPE} in UTF-8") from None


def _unescape(name: str) -> str:
    for code, letter in _ESCAPES.items():
        name = name.replace(code, letter)
    return name
