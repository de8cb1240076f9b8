"""Words of a command line as a task's arguments: pure, by the task's JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from celeriac.core.schema_texts import kinds_of, read_item, read_value

Json = Any
Schema = Mapping[str, Any]


def parse_arguments(
    words: Sequence[str], schema: Schema, *, read_file: Callable[[str], str]
) -> dict[str, Json]:
    """Return the named arguments that words such as `width=5` stand for.

    What does not fit its field stays a text: the service says what is wrong with it.

    Args:
        words: Each `NAME=VALUE`; `NAME=@FILE` takes the file's text, `NAME=@@…` a text that begins
            with an @. A name of an array may come several times.
        schema: The task's JSON Schema.
        read_file: Returns the text of a file by its name.

    Raises:
        click.UsageError: A word is none of these, or a name comes twice.
    """
    properties = schema.get("properties", {})
    found: dict[str, Json] = {}
    listed: set[str] = set()
    for word in words:
        name, has_value, text = word.partition("=")
        if not has_value or not name:
            raise click.UsageError(f"{word!r} is no NAME=VALUE")
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
