"""Words of a command line as a task's arguments: pure, by the task's JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from celeriac.core.file_fields import FileField, file_fields
from celeriac.core.schema_texts import kinds_of, read_item, read_value

Json = Any
Schema = Mapping[str, Any]


def parse_arguments(
    words: Sequence[str],
    schema: Schema,
    *,
    read_file: Callable[[str], str],
    open_file: Callable[[str], Any],
) -> dict[str, Any]:
    """Return the named arguments that words such as `width=5` stand for.

    What does not fit its field stays a text: the service says what is wrong with it.

    Args:
        words: Each `NAME=VALUE`; `NAME=@FILE` takes the file's text, `NAME=@@…` a text that begins
            with an @. A name of an array may come several times.
        schema: The task's JSON Schema.
        read_file: Returns the text of a file by its name.
        open_file: Returns a file by its name, where the task takes a file.

    Raises:
        click.UsageError: A word is none of these, or a name comes twice.
    """
    properties = schema.get("properties", {})
    files = file_fields(schema)
    found: dict[str, Any] = {}
    listed: set[str] = set()
    for word in words:
        name, has_value, text = word.partition("=")
        if not has_value or not name:
            raise click.UsageError(f"{word!r} is no NAME=VALUE")
        if name in files:
            _add_file(found, name, text, files[name], open_file)
            continue
        if text.startswith("@"):
            text = text[1:] if text.startswith("@@") else read_file(text[1:])
        field = properties.get(name, {})
        value = read_value(text, field, schema)
        if name not in found:
            found[name] = value
        elif "array" not in kinds_of(field, schema):
            raise click.UsageError(f"{name} is given twice")
        elif name in listed:
            found[name].append(read_item(text, field, schema))
        else:
            found[name] = [*_as_list(found[name]), read_item(text, field, schema)]
            listed.add(name)
    return found


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _add_file(
    found: dict[str, Any], name: str, text: str, field: FileField, open_file: Callable[[str], Any]
) -> None:
    if not text.startswith("@"):
        raise click.UsageError(f"{name} is a file: write {name}=@{text or 'FILE'}")
    if name in found and not field.is_many:
        raise click.UsageError(f"{name} is given twice")
    file = open_file(text[1:])
    if field.is_many:
        found.setdefault(name, []).append(file)
    else:
        found[name] = file
