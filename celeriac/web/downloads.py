"""Files that go out: as downloads, or as pictures that were looked at before."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import (
    FileResponse,
    MalformedRangeHeader,
    RangeNotSatisfiable,
    Response,
)

from celeriac.core.file_names import UNKNOWN_TYPE, clean_name
from celeriac.core.file_reference import MARK, FileReference, read_reference
from celeriac.errors import FileNotKeptError
from celeriac.files.store import FileStore
from celeriac.web.refusals import BrokenHeaderError, RangeError

Json = Any

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
# What a browser shows without running anything. All else is so many bytes.
_HARMLESS_TYPES = IMAGE_TYPES | {
    "application/json",
    "application/pdf",
    "application/zip",
    "text/csv",
    "text/plain",
}
_HEAD_BYTES = 16
# Whatever a browser is talked into doing with it, it is nobody's page.
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def download(reference: FileReference, store: FileStore) -> Response:
    """Return a kept file as a download.

    Raises:
        FileNotKeptError: It is gone.
    """
    is_harmless = reference.content_type in _HARMLESS_TYPES
    return _respond(
        store.path(reference),
        reference.content_type if is_harmless else UNKNOWN_TYPE,
        disposition("attachment", reference.name),
    )


def picture(reference: FileReference, store: FileStore) -> Response:
    """Return a kept file as a picture of a page, if it is one by its first bytes.

    Raises:
        FileNotKeptError: It is gone, or no picture that pages show.
    """
    path = store.path(reference)
    with path.open("rb") as file:
        kind = image_type(file.read(_HEAD_BYTES))
    if kind is None:
        raise FileNotKeptError(reference.name)
    return _respond(path, kind, disposition("inline", reference.name))


def download_text(text: str, *, name: str, content_type: str) -> Response:
    """Return a text as a download."""
    headers = {**_HEADERS, "Content-Disposition": disposition("attachment", name)}
    return Response(text, headers=headers, media_type=content_type)


def image_type(head: bytes) -> str | None:
    """Return which picture a file is by how it begins; None when it is none that pages show."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def disposition(kind: str, name: str) -> str:
    """Return a Content-Disposition (RFC 6266) whose name says nothing but a name."""
    name = clean_name(name)
    # Some programs read a %XX here, others a backslash: neither is left to them.
    plain = re.sub(r"[^A-Za-z0-9 ._()+=,@~!#$&{}\[\]-]", "_", name)
    said = f'{kind}; filename="{plain}"'
    return said if plain == name else f"{said}; filename*=UTF-8''{quote(name, safe='')}"


def with_links(value: Json, link: Callable[[FileReference], str]) -> Json:
    """Return a value out of JSON in which every file tells where it is read."""

    def told(reference: FileReference) -> Json:
        known = {name: each for name, each in reference.to_json().items() if name != MARK}
        return {**known, "url": link(reference)}

    return with_files(value, told)


def with_files(value: Json, show: Callable[[FileReference], Json]) -> Json:
    """Return a value out of JSON with something else in place of every file."""
    reference = read_reference(value)
    if reference is not None:
        return show(reference)
    if isinstance(value, dict):
        return {name: with_files(each, show) for name, each in value.items()}
    if isinstance(value, list):
        return [with_files(each, show) for each in value]
    return value


class _KeptFile(FileResponse):
    """A file, or the parts of it that are asked for."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        # Starlette's own refusals are plain texts.
        unit, _, _ = http_range.partition("=")
        if unit.strip().lower() != "bytes":
            # RFC 9110: a unit that is not known is as if nothing of the kind were asked for.
            return []
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            raise BrokenHeaderError("Range", "is no range of bytes") from None
        except RangeNotSatisfiable:
            raise RangeError(file_size) from None


def _respond(path: Path, content_type: str, said: str) -> Response:
    return _KeptFile(
        path, headers={**_HEADERS, "Content-Disposition": said}, media_type=content_type
    )
