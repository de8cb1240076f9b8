"""Reading a request's body: never more of it than the path takes, and only in a known format."""

from __future__ import annotations

from email.message import Message
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from celeriac.errors import FieldProblem
from celeriac.web.refusals import (
    BodyTooLargeError,
    BrokenBodyError,
    BrokenHeaderError,
    InvalidBodyError,
    MediaTypeError,
)
from celeriac.web.strict_json import parse_strict

Json = Any

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_MOST_PAGE_FIELDS = 500


def is_json(request: Request) -> bool:
    """Return whether a body says that it is JSON, or in a wrong way nearly so."""
    return request.headers.get("content-type", "").lower().startswith(JSON_TYPE)


async def read_json_object(request: Request) -> dict[str, Json]:
    """Return the JSON object in a request's body.

    Raises:
        MediaTypeError: It says that it is something else, or is encoded.
        BodyTooLargeError: It is too large; the rest was not read.
        BrokenBodyError: It is no JSON.
        InvalidBodyError: It is JSON that is no object, or that no task can take.
    """
    most_bytes = request.app.state.parts.settings.max_body_bytes
    return parse_object(await read_json(request, most_bytes=most_bytes))


async def read_json(request: Request, *, most_bytes: int) -> bytes:
    """Return the JSON text in a request's body, as it came.

    Raises:
        MediaTypeError: It says that it is something else, or is encoded.
        BodyTooLargeError: It is too large; the rest was not read.
    """
    _check_type(request, JSON_TYPE)
    return await read_body(request, most_bytes=most_bytes)


def parse_object(body: bytes) -> dict[str, Json]:
    """Return the JSON object that a text is.

    Raises:
        BrokenBodyError: It is no JSON.
        InvalidBodyError: It is JSON that is no object, or that no task can take.
    """
    value = parse_strict(body)
    if not isinstance(value, dict):
        raise InvalidBodyError(FieldProblem(pointer="", detail="must be a JSON object"))
    return value


async def read_optional_json_object(request: Request) -> dict[str, Json]:
    """Return the JSON object in a request's body; an empty one when there is no body.

    Raises:
        MediaTypeError, BodyTooLargeError, BrokenBodyError, InvalidBodyError: As read_json_object.
    """
    is_chunked = "transfer-encoding" in request.headers
    if not is_chunked and request.headers.get("content-length", "0").strip() == "0":
        return {}
    return await read_json_object(request)


async def read_form(request: Request, *, most_bytes: int) -> dict[str, str]:
    """Return the fields of a URL-encoded form, each given once.

    Raises:
        MediaTypeError: The body says that it is something else, or is encoded.
        BodyTooLargeError: It is too large; the rest was not read.
        BrokenBodyError: It is no such form.
        InvalidBodyError: A field is given twice.
    """
    pairs = await _read_pairs(request, most_bytes=most_bytes, most_fields=_MOST_FIELDS)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidBodyError(FieldProblem(pointer="", detail="a field is given twice"))
    return fields


async def read_page_form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form that one of our pages sent, each with all its values.

    Raises:
        MediaTypeError: The body says that it is something else, or is encoded.
        BodyTooLargeError: It is too large; the rest was not read.
        BrokenBodyError: It is no such form.
    """
    most_bytes = request.app.state.parts.settings.max_body_bytes
    found: dict[str, list[str]] = {}
    for name, value in await _read_pairs(
        request, most_bytes=most_bytes, most_fields=_MOST_PAGE_FIELDS
    ):
        found.setdefault(name, []).append(value)
    return found


async def read_body(request: Request, *, most_bytes: int) -> bytes:
    """Return a request's body, and stop reading as soon as it is too large.

    Raises:
        BodyTooLargeError: It is; by what the header says, or by what came.
    """
    check_length(request, most_bytes=most_bytes)
    body = bytearray()
    is_more = True
    while is_more:
        # Not request.stream(), a generator that takes longer than a small body itself.
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        # The header may lie, or be missing from a chunked body: what comes is counted too.
        if len(body) > most_bytes:
            raise BodyTooLargeError(most_bytes)
        is_more = message.get("more_body", False)
    return bytes(body)


async def _read_pairs(
    request: Request, *, most_bytes: int, most_fields: int
) -> list[tuple[str, str]]:
    _check_type(request, FORM_TYPE)
    body = await read_body(request, most_bytes=most_bytes)
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=most_fields,
        )
    except ValueError:
        raise BrokenBodyError("a URL-encoded form in UTF-8") from None


def check_length(request: Request, *, most_bytes: int) -> None:
    """Return if a body is small enough, as far as its header says.

    Raises:
        BodyTooLargeError: It is not; nothing of it was read.
    """
    size_bytes = _content_length(request)
    if size_bytes > most_bytes:
        raise BodyTooLargeError(most_bytes, size_bytes=size_bytes)


def check_encoding(request: Request) -> None:
    """Return if a body is what it is.

    Raises:
        MediaTypeError: It is compressed: a small one can be a huge one, so none is ever unpacked.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaTypeError("Content-Encoding", "identity")


def _check_type(request: Request, wanted: str) -> None:
    check_encoding(request)
    if not _is_text_of(request.headers.get("content-type", ""), wanted):
        raise MediaTypeError("Content-Type", wanted)


@lru_cache(maxsize=64)
def _is_text_of(content_type: str, wanted: str) -> bool:
    charset = parameter_of(content_type, "charset", wanted=wanted, default="utf-8")
    return charset is not None and charset.lower() in ("utf-8", "utf8")


def parameter_of(content_type: str, name: str, *, wanted: str, default: str) -> str | None:
    """Return a parameter of a content type, or what stands for it where it is not said.

    Args:
        content_type: As a header says it.
        name: The parameter's.
        wanted: Which type it must be.
        default: What stands for the parameter.

    Returns:
        None where the type is another, or the parameter is none that this service writes.
    """
    given = Message()
    given["content-type"] = content_type
    # An empty content type reads as text/plain, which is refused like any other.
    if given.get_content_type() != wanted:
        return None
    try:
        found = given.get_param(name, default)
    # It stumbles over parameters in several parts (RFC 2231) that do not fit each other.
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, str) else None


def _content_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    # Not int(): that takes signs, blanks and underscores.
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BrokenHeaderError("Content-Length", "is no number of bytes")
    return int(text)
