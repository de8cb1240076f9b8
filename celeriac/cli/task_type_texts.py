"""What the commands show of task types: pure functions from values to lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.cli.render import is_number, number_text
from celeriac.cli.tables import table_lines
from celeriac.core.file_fields import FileField, file_fields
from celeriac.core.file_names import UNKNOWN_TYPE
from celeriac.core.task_type import TaskType

Json = Any

_BOUNDS = (
    ("from", "minimum"),
    ("to", "maximum"),
    ("above", "exclusiveMinimum"),
    ("below", "exclusiveMaximum"),
)


def task_type_table(task_types: Sequence[TaskType], *, is_for_people: bool) -> list[str]:
    """Return what can be submitted, a line each."""
    heads = ("TASK", "QUEUE", "ARGUMENTS", "TITLE")
    rows = [
        (each.name, each.queue, " ".join(_arguments(each.schema)), each.title)
        for each in task_types
    ]
    return table_lines(heads, rows, is_aligned=is_for_people)


def task_type_lines(task_type: TaskType) -> list[str]:
    """Return one task type: what it does and what each argument is."""
    lines = [f"{task_type.name}  {task_type.title}".rstrip()]
    lines += [f"  {line}".rstrip() for line in task_type.description.splitlines()]
    lines += ["", f"  queue {task_type.queue}"]
    required = task_type.schema.get("required", ())
    files = file_fields(task_type.schema)
    for name, field in task_type.schema.get("properties", {}).items():
        kind = _file_text(files[name]) if name in files else _kind_text(field)
        need = "required" if name in required else f"default {json.dumps(field.get('default'))}"
        about = field.get("description", "")
        lines.append(f"  {name:<12} {kind}, {need}" + (f"  {about}" if about else ""))
    properties = task_type.schema.get("properties", {})
    given = (_example(name, properties.get(name, {}), is_file=name in files) for name in required)
    call = " ".join([task_type.name, *given])
    return [*lines, "", f"  celeriac submit {call} --watch"]


def _arguments(schema: Mapping[str, Json]) -> list[str]:
    required = schema.get("required", ())
    return [name if name in required else f"[{name}]" for name in schema.get("properties", {})]


def _file_text(field: FileField) -> str:
    kind = "" if field.accept == UNKNOWN_TYPE else f" {field.accept}"
    return f"files{kind}" if field.is_many else f"file{kind}"


def _example(name: str, field: Mapping[str, Json], *, is_file: bool) -> str:
    if is_file:
        return f"{name}=@FILE"
    # A list's name comes once for each of its values.
    return f"{name}=… {name}=…" if field.get("type") == "array" else f"{name}=…"


def _kind_text(field: Mapping[str, Json]) -> str:
    if "enum" in field:
        return " | ".join(json.dumps(each) for each in field["enum"])
    if field.get("type") == "array":
        items = _kind_text(field.get("items") or {})
        return f"list of {items}s" if items.isalpha() and items != "any" else "list"
    kinds = [str(each.get("type", "any")) for each in field.get("anyOf", ())]
    kind = " | ".join(kinds) or str(field.get("type", "any"))
    bounds = [
        f"{word} {number_text(field[key])}" for word, key in _BOUNDS if is_number(field.get(key))
    ]
    return " ".join([kind, *bounds])
