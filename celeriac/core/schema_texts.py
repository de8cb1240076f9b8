"""Texts as values of the fields that a JSON Schema describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Json = Any
Schema = Mapping[str, Any]

_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def _refuse(text: str) -> Json:
    raise ValueError(text)


def parse_json(text: str) -> Json:
    """Return what a JSON text says.

    Raises:
        ValueError: It is none; NaN and the infinities are none either.
    """
    return json.loads(text, parse_constant=_refuse)


def read_value(
    text: str, field: Schema, schema: Schema, *, parse: Callable[[str], Json] = parse_json
) -> Json:
    """Return a text as a value of a field, as far as the field's schema says what it is.

    Args:
        text: The text.
        field: The field's schema.
        schema: The whole one, for its definitions.
        parse: Reads a JSON text; ValueError when it is none.
    """
    for choice in _choices(field, schema):
        if not isinstance(choice, str) and _word(choice) == text:
            return choice
        if choice == text:
            return text
    kinds = kinds_of(field, schema)
    if not kinds:
        return _json_or_text(text, parse)
    lowered = text.lower()
    if "boolean" in kinds and lowered in _WORDS:
        return _WORDS[lowered]
    value = _json_or_text(text, parse)
    if _kind(value) in kinds or (_kind(value) == "integer" and "number" in kinds):
        return value
    if "string" not in kinds and "array" in kinds:
        # One value of a list, given alone.
        return [read_item(text, field, schema, parse=parse)]
    return text


def kinds_of(field: Schema, schema: Schema) -> frozenset[str]:
    """Return which of JSON's types a field takes; empty is any."""
    field = _resolve(field, schema)
    kinds = field.get("type", ())
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for branch in _branches(field):
        found |= kinds_of(branch, schema)
    return frozenset(found)


def read_item(
    text: str, field: Schema, schema: Schema, *, parse: Callable[[str], Json] = parse_json
) -> Json:
    """Return a text as one item of a field that is a list."""
    items = _items(field, schema)
    if items is None:
        return _json_or_text(text, parse)
    return read_value(text, items, schema, parse=parse)


def kinds_of_items(field: Schema, schema: Schema) -> frozenset[str]:
    """Return which of JSON's types the items of a field may be that is a list; empty is any."""
    items = _items(field, schema)
    return frozenset() if items is None else kinds_of(items, schema)


def _items(field: Schema, schema: Schema) -> Schema | None:
    field = _resolve(field, schema)
    found = (branch.get("items") for branch in (field, *_branches(field)))
    return next((each for each in found if isinstance(each, Mapping)), None)


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


def _json_or_text(text: str, parse: Callable[[str], Json]) -> Json:
    try:
        return parse(text)
    except ValueError:
        return text


def _word(value: Json) -> str:
    return json.dumps(value)


def _kind(value: Json) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}
    return "null" if value is None else names.get(type(value), "number")
