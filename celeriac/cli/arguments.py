"""Words of a command line as a task's arguments: pure, by the task's JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Json = Any
Schema = Mapping[str, Any]

_WORDS = {"true": True, "yes": True, "false": False, "no": False}


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
            found[name].append(_one(text, field, schema))
        else:
            found[name] = [*_as_list(found[name]), _one(text, field, schema)]
            listed.add(name)
    return found


def read_value(text: str, field: Schema, schema: Schema) -> Json:
    """Return a text as a value of a field, as far as the field's schema says what it is."""
    for choice in _choices(field, schema):
        if not isinstance(choice, str) and _word(choice) == text:
            return choice
        if choice == text:
            return text
    kinds = kinds_of(field, schema)
    if not kinds:
        return _json_or_text(text)
    lowered = text.lower()
    if "boolean" in kinds and lowered in _WORDS:
        return _WORDS[lowered]
    value = _json_or_text(text)
    if _kind(value) in kinds or (_kind(value) == "integer" and "number" in kinds):
        return value
    if "string" not in kinds and "array" in kinds:
        # One value of a list, given alone.
        return [_one(text, field, schema)]
    return text


def kinds_of(field: Schema, schema: Schema) -> frozenset[str]:
    """Return which of JSON's types a field takes; empty is any."""
    field = _resolve(field, schema)
    kinds = field.get("type", ())
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for branch in _branches(field):
        found |= kinds_of(branch, schema)
    return frozenset(found)


def _one(text: str, field: Schema, schema: Schema) -> Json:
    for branch in (_resolve(field, schema), *_branches(_resolve(field, schema))):
        items = branch.get("items")
        if isinstance(items, Mapping):
            return read_value(text, items, schema)
    return _json_or_text(text)


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _choices(field: Schema, schema: Schema) -> list[Json]:
    field = _resolve(field, schema)
    own = list(field.get("enum", ()))
    own += [field["const"]] if "const" in field else []
    return own + [each for branch in _branches(field) for each in _choices(branch, schema)]


def _branches(field: Schema) -> list[Schema]:
    return [*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]


def _resolve(field: Schema, schema: Schema) -> Schema:
    for _ in range(10):
        reference = field.get("$ref", "")
        if not reference.startswith("#/$defs/"):
            return field
        field = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return {}


def _json_or_text(text: str) -> Json:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(text: str) -> Json:
    raise ValueError(text)


def _word(value: Json) -> str:
    return json.dumps(value)


def _kind(value: Json) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return "null" if value is None else names.get(type(value), "number")
