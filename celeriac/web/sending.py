"""What is sent to be submitted as a form: named arguments, with files among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request

from celeriac.core.file_fields import FileField, file_fields
from celeriac.core.file_reference import FileId, find_file_ids
from celeriac.core.schema_texts import kinds_of, read_item, read_value
from celeriac.core.task import Task
from celeriac.errors import CeleriacError, CommitInDoubtError, FieldProblem
from celeriac.files.store import FileStore
from celeriac.service.callers import Caller
from celeriac.web.bodies import (
    JSON_TYPE,
    check_encoding,
    check_length,
)
from celeriac.web.multipart import MULTIPART_TYPE, Bounds, Parts, Text, boundary_of, read_multipart
from celeriac.web.parts import parts_of
from celeriac.web.problems import to_pointer
from celeriac.web.refusals import (
    BodyTooLargeError,
    BrokenBodyError,
    InvalidBodyError,
    MediaTypeError,
)
from celeriac.web.strict_json import parse_strict

Json = Any


@dataclass(slots=True, kw_only=True)
class Sent:
    """Named arguments that came over HTTP, and the files that came with them.

    A context: files that no task holds on to when it ends are deleted.
    """

    # A file among them is its reference.
    kwargs: dict[str, Json]
    files: frozenset[FileId] = frozenset()
    store: FileStore | None = None
    # What became of it, once it was accepted.
    task: Task | None = None
    # What was sent, so that the same request is known again; a file by its content.
    content: bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.store is None or isinstance(error, CommitInDoubtError):
            # That one may have made the task; if it has not, the janitor finds the leftovers.
            return
        if isinstance(error, CeleriacError):
            self.store.remove(self.files)
        elif error is None:
            # A request that came a second time found the first one's task, with files of its own.
            held = find_file_ids(self.task.arguments.text) if self.task else frozenset()
            self.store.remove(self.files - held)


async def read_sent(request: Request, *, name: str, by: Caller) -> Sent:
    """Return the arguments in a request's body.

    Args:
        request: Whose body.
        name: Of the task they are for.
        by: Who sends it; one who may not submit has no file kept.

    Raises:
        MediaTypeError, BodyTooLargeError, BrokenBodyError, InvalidBodyError: As read_json_object.
        NotPermittedError: A form comes from somebody who may not submit.
        TaskNameNotFoundError: A form comes for a task that is not there.
        FilesUnavailableError: A file cannot be kept.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    parts = parts_of(request)
    schema = parts.task_types.get_schema(name, by=by)
    wanted = file_fields(schema)
    if boundary is None or not wanted:
        raise MediaTypeError("Content-Type", MULTIPART_TYPE if wanted else JSON_TYPE)
    found = await read_form(request, boundary, wanted)
    try:
        kwargs = arguments_of(found, schema, wanted)
    except CeleriacError:
        parts.files.remove(ids_of(found))
        raise
    return Sent(
        kwargs=kwargs,
        files=ids_of(found),
        store=parts.files,
        content=_content_of(kwargs, found),
    )


async def read_form(
    request: Request, boundary: bytes, wanted: Mapping[str, FileField], **more: Any
) -> Parts:
    """Return the parts of a form, its files kept.

    Raises:
        MediaTypeError, BodyTooLargeError, BrokenBodyError, InvalidBodyError: As read_json_object.
        FilesUnavailableError: A file cannot be kept.
    """
    parts = parts_of(request)
    bounds = Bounds(
        most_file_bytes=parts.settings.max_upload_bytes,
        most_text_bytes=parts.settings.max_body_bytes,
        file_fields=wanted,
    )
    check_encoding(request)
    try:
        check_length(request, most_bytes=bounds.most_bytes)
    except BodyTooLargeError:
        # The bound that was told: what stands beside the files is no business of the sender's.
        raise BodyTooLargeError(bounds.most_file_bytes) from None
    return await read_multipart(request, boundary, store=parts.files, bounds=bounds, **more)


def _content_of(kwargs: Mapping[str, Json], found: Parts) -> bytes:
    """Return what a form said: a file by its content, since its id is new each time."""
    files = {
        name: [[each.name, each.content_type, each.sha256] for each in references]
        for name, references in found.files.items()
    }
    return json.dumps([{**kwargs, **files}, sorted(files)], sort_keys=True).encode()


def ids_of(found: Parts) -> frozenset[FileId]:
    """Return the files that came in a form."""
    return frozenset(each.id for several in found.files.values() for each in several)


def arguments_of(
    found: Parts, schema: Mapping[str, Json], wanted: Mapping[str, FileField]
) -> dict[str, Json]:
    """Return a form's parts as named arguments: texts as the schema says, files as references.

    Raises:
        InvalidBodyError: A field comes twice that is no list, or a text in place of a file.
    """
    kwargs: dict[str, Json] = {}
    for name, references in found.files.items():
        several = [each.to_json() for each in references]
        kwargs[name] = several if wanted[name].is_many else several[0]
    for name, texts in found.texts.items():
        if name in wanted:
            detail = "must be a file: the part has no filename"
            raise InvalidBodyError(FieldProblem(to_pointer(name), detail))
        kwargs[name] = _value_of(name, texts, schema)
    return kwargs


def _value_of(name: str, texts: list[Text], schema: Mapping[str, Json]) -> Json:
    field = schema.get("properties", {}).get(name, {})
    if len(texts) == 1:
        return _read(texts[0], field, schema, read=read_value)
    if "array" not in kinds_of(field, schema):
        raise InvalidBodyError(FieldProblem(to_pointer(name), "is given twice"))
    return [_read(each, field, schema, read=read_item) for each in texts]


def _read(text: Text, field: Mapping[str, Json], schema: Mapping[str, Json], *, read: Any) -> Json:
    if text.is_json:
        return parse_strict(text.value.encode("utf-8", errors="surrogatepass"))
    value = read(text.value, field, schema, parse=_parse)
    # A text stands for itself, also one that looks like JSON's way of writing a text.
    return text.value if isinstance(value, str) else value


def _parse(text: str) -> Json:
    try:
        return parse_strict(text.encode("utf-8", errors="surrogatepass"))
    except (BrokenBodyError, InvalidBodyError) as error:
        raise ValueError(str(error)) from None
