"""Which arguments of a task are files, by its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any
Schema = Mapping[str, Any]

# What stands for a file in a schema; `contentMediaType` beside it says of which kind.
FORMAT = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileField:
    """One argument that is a file, or a list of files."""

    is_many: bool
    # Of which content type, such as `image/*`; `application/octet-stream` is any.
    accept: str


def file_schema(accept: str) -> dict[str, Json]:
    """Return the schema of a file, as OpenAPI 3.1 and the tools before it know one."""
    return {"type": "string", "format": FORMAT, "contentMediaType": accept}


def file_fields(schema: Schema) -> dict[str, FileField]:
    """Return the arguments of a task that are files, by their names."""
    found = {}
    for name, field in schema.get("properties", {}).items():
        one = _file_in(field)
        several = one or _file_in_items(field)
        if several is not None:
            found[name] = FileField(is_many=one is None, accept=several)
    return found


def _branches(field: Schema) -> list[Schema]:
    return [field, *field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]


def _file_in(field: Schema) -> str | None:
    for branch in _branches(field):
        if branch.get("format") == FORMAT and "contentMediaType" in branch:
            return str(branch["contentMediaType"])
    return None


def _file_in_items(field: Schema) -> str | None:
    for branch in _branches(field):
        items = branch.get("items")
        if isinstance(items, Mapping):
            return _file_in(items)
    return None
