"""The OpenAPI document: every operation as it behaves, refusals included."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from celeriac.core.file_fields import file_fields, file_schema
from celeriac.core.task_type import TaskType
from celeriac.web.problems import MEDIA_TYPE
from celeriac.web.schemas import Problem

Json = Any

SUBMIT_ID = "submit_task_by_name"
_SUBMIT_PATH = "/tasks/{task_id}"
_SCHEMAS = "#/components/schemas/"
_MEANINGS = {
    400: "The body is not in the format its content type says, or a header is broken.",
    401: "There are no credentials, or they are not good.",
    403: "The caller lacks a right, which is named.",
    404: "There is no such thing, or it is not the caller's.",
    405: "The path does not take this method.",
    409: "It has already ended, or has not ended yet.",
    413: "The body is too large; it was not read to its end.",
    415: "The body's content type or encoding is not one this path takes.",
    416: "`Range` begins behind the file's end.",
    422: "What was asked makes no sense; each field that is wrong is named.",
    429: "Too many requests.",
    503: "The ledger is away; nothing was done. Only with the code `commit_in_doubt` it may have"
    " been: the same request with the same `Idempotency-Key` finds out.",
}
_TEXT = {"type": "string"}
_SECONDS = {"schema": {"type": "integer", "minimum": 0}}
_CHALLENGE = {"WWW-Authenticate": {"schema": _TEXT, "description": "How to authenticate."}}
_PAUSE = {"Retry-After": {**_SECONDS, "description": "Seconds after which to try again."}}
_HEADERS: dict[int, dict[str, Json]] = {
    401: _CHALLENGE,
    403: _CHALLENGE,
    405: {"Allow": {"schema": _TEXT, "description": "The methods the path takes."}},
    416: {"Content-Range": {"schema": _TEXT, "description": "How long the file is."}},
    429: _PAUSE,
    503: _PAUSE,
}
LIMIT_HEADERS: dict[str, Json] = {
    "RateLimit-Policy": {"schema": _TEXT, "description": "The rules that requests count by."},
    "RateLimit": {"schema": _TEXT, "description": "What is left of them."},
}
DOWNLOAD_HEADERS: dict[str, Json] = {
    "Content-Disposition": {"schema": _TEXT, "description": "As a download, and its name."}
}
# The bytes themselves; OpenAPI 3.1 says no more of them.
FILE_SCHEMA: dict[str, Json] = file_schema("application/octet-stream")
# What a download answers to `Range` beside its 200.
PART_OF_FILE: dict[str, Json] = {
    "headers": {
        **DOWNLOAD_HEADERS,
        "Content-Range": {
            "schema": _TEXT,
            # Not where several parts come as `multipart/byteranges`.
            "required": False,
            "description": "Which bytes of how many.",
        },
        **LIMIT_HEADERS,
    },
    "description": "The part of the file that `Range` asks for.",
    "content": {"*/*": {"schema": FILE_SCHEMA}},
}
_APPLIED: dict[str, Json] = {
    "Preference-Applied": {
        "schema": _TEXT,
        # Only where a preference was sent.
        "required": False,
        "description": "What became of `Prefer: wait=N`: `wait=N` if it ended in time, else"
        " `respond-async`.",
    },
}
WAITED_HEADERS: dict[str, Json] = {**_APPLIED, **LIMIT_HEADERS}
ACCEPTED_HEADERS: dict[str, Json] = {
    **_APPLIED,
    "Location": {"schema": _TEXT, "description": "Where the task is read."},
    "Retry-After": {**_SECONDS, "description": "A good pause before reading it."},
    **LIMIT_HEADERS,
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Json]]:
    """Return how an operation may be refused, for its `responses`."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }


def body_of(schemas: Mapping[str, Json], *, is_required: bool = True) -> dict[str, Json]:
    """Return a request body by its media types, for an operation that reads its body itself."""
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"requestBody": {"required": is_required, "content": content}}


def describe(app: FastAPI, task_types: Iterable[TaskType]) -> dict[str, Json]:
    """Return the document of an app: its routes, and a path for each task that can be submitted."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    _drop_invented(document)
    schemas.update(_model_schemas())
    generic = document["paths"][_SUBMIT_PATH]["post"]
    for task_type in task_types:
        # A name with a slash is more than one step of a path; there is no route to it.
        if "/" in task_type.name:
            continue
        own = _operation(generic, task_type, _hoist(task_type, schemas))
        document["paths"][f"/tasks/{quote(task_type.name, safe='')}"] = {"post": own}
    return document


def _drop_invented(document: dict[str, Json]) -> None:
    """Take out the refusals that FastAPI supposes wherever a path has a parameter."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _model_schemas() -> dict[str, Json]:
    schema = Problem.model_json_schema(ref_template=_SCHEMAS + "{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _operation(
    generic: dict[str, Json], task_type: TaskType, schema: dict[str, Json]
) -> dict[str, Json]:
    own = copy.deepcopy(generic)
    own["operationId"] = f"submit_{re.sub(r'[^A-Za-z0-9]+', '_', task_type.name)}"
    own["summary"] = task_type.title or task_type.name
    own["description"] = task_type.description or f"Submit the task {task_type.name}."
    own["parameters"] = [each for each in own["parameters"] if each["in"] != "path"]
    own.update(body_of(_bodies(schema)))
    return own


def _bodies(schema: dict[str, Json]) -> dict[str, Json]:
    """Return the bodies of a task by their media types: files come in a form, and only there."""
    files = file_fields(schema)
    if not files:
        return {"application/json": schema}
    found = {"multipart/form-data": schema}
    if not set(files) & set(schema.get("required", ())):
        rest = {name: each for name, each in schema["properties"].items() if name not in files}
        found["application/json"] = {**schema, "properties": rest}
    return found


def _hoist(task_type: TaskType, schemas: dict[str, Json]) -> dict[str, Json]:
    """Move a schema's definitions to where an OpenAPI document keeps them."""
    # A component's name takes few characters; a task's name takes any.
    prefix = re.sub(r"[^A-Za-z0-9._-]", "_", task_type.name)
    schema = copy.deepcopy(task_type.schema)
    schema.pop("$schema", None)
    for name, definition in schema.pop("$defs", {}).items():
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        schemas[f"{prefix}.{safe}"] = _refer(definition, prefix)
    referred: dict[str, Json] = _refer(schema, prefix)
    return referred


def _refer(value: Json, prefix: str) -> Json:
    if isinstance(value, dict):
        return {key: _target(key, each, prefix) for key, each in value.items()}
    if isinstance(value, list):
        return [_refer(each, prefix) for each in value]
    return value


def _target(key: str, value: Json, prefix: str) -> Json:
    is_reference = isinstance(value, str) and value.startswith("#/$defs/")
    if is_reference and key == "$ref":
        name = re.sub(r"[^A-Za-z0-9._-]", "_", value.removeprefix("#/$defs/"))
        return f"{_SCHEMAS}{prefix}.{name}"
    if key == "mapping" and isinstance(value, dict):
        # A discriminator names its branches by reference, too.
        return {each: _target("$ref", target, prefix) for each, target in value.items()}
    return _refer(value, prefix)
