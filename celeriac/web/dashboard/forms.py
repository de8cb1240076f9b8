"""A form out of a task's JSON Schema: pure functions. `answers.py` reads it when it was sent.

A schema says more than a form can: what has no field of its own is typed as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from celeriac.core.file_fields import FileField, file_fields
from celeriac.core.file_names import UNKNOWN_TYPE
from celeriac.core.file_reference import find_references

Json = Any

# Before every argument's name, so that none is taken for a field of the form's own.
ARGUMENT = "arg."
# The tick that says that an argument is meant to be empty.
EMPTY = "empty."
# Where a task takes arguments that its schema does not name.
REST = "more."
# A text that may be as long as this gets more than one line.
_LONG = 200


class Kind(StrEnum):
    """What a field looks like."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    WHOLE = "whole"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    MOMENT = "moment"
    DATE = "date"
    TIME = "time"
    LINES = "lines"
    # One file or several: what was chosen comes beside the texts.
    FILE = "file"
    JSON = "json"
    # Anything: JSON if it is JSON, otherwise the text itself.
    ANY = "any"


_FORMATS = {"date-time": Kind.MOMENT, "date": Kind.DATE, "time": Kind.TIME}
_TYPES = {"string": Kind.TEXT, "integer": Kind.WHOLE, "number": Kind.NUMBER, "boolean": Kind.SWITCH}
_YES_OR_NO = (("true", "yes"), ("false", "no"))
# What may be given as nothing: no text, no lines.
MAY_BE_EMPTY = (Kind.TEXT, Kind.LONG_TEXT, Kind.LINES)
_SIMPLE = {Kind.TEXT, Kind.LONG_TEXT, Kind.WHOLE, Kind.NUMBER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One argument as a form shows it."""

    name: str
    label: str
    kind: Kind
    # What the lines of a list are.
    line_kind: Kind = Kind.TEXT
    is_required: bool = False
    # What it is for and what it takes, in a sentence or two.
    help: str = ""
    # As typed; "on" or nothing for a switch; of files the names of an earlier task's.
    value: str = ""
    # Of a choice: what is sent, and what is shown.
    options: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    least_characters: int | None = None
    most_characters: int | None = None
    # Of files: of which type, empty for any, and whether there may be several.
    accept: str = ""
    is_many: bool = False
    problem: str = ""
    # Whether one may tick that it is meant to be empty, and whether that is ticked.
    is_empty_offered: bool = False
    is_empty_meant: bool = False

    @property
    def key(self) -> str:
        """Its name in the form."""
        return ARGUMENT + self.name

    @property
    def empty_key(self) -> str:
        """What the tick that it is meant to be empty is called in the form."""
        return EMPTY + self.name

    @property
    def may_be_empty(self) -> bool:
        """Whether it must be given and may be given as nothing: no text, no lines."""
        return self.is_required and self.kind in MAY_BE_EMPTY and not self.least_characters

    @property
    def html_id(self) -> str:
        """Its id in the page, which a summary leads to."""
        return "field-" + re.sub(r"[^A-Za-z0-9_-]", lambda found: f"_{ord(found[0]):x}", self.name)


def fields_of(schema: Mapping[str, Json]) -> tuple[Field, ...]:
    """Return the fields of a task's arguments, those that must be given first."""
    required = schema.get("required", ())
    files = file_fields(schema)
    found = [
        _file(name, each, files[name], is_required=name in required)
        if name in files
        else _field(name, each, schema=schema, is_required=name in required)
        for name, each in schema.get("properties", {}).items()
    ]
    if schema.get("additionalProperties", True) is not False:
        help_ = "A JSON object of arguments that the function does not name."
        found.append(Field(name=REST, label="More arguments", kind=Kind.JSON, help=help_))
    return tuple(sorted(found, key=lambda field: not field.is_required))


def fill(fields: Sequence[Field], kwargs: Mapping[str, Json]) -> tuple[Field, ...]:
    """Return the fields holding the arguments of an earlier task."""
    named = {field.name for field in fields}
    rest = {name: value for name, value in kwargs.items() if name not in named}
    given = {**kwargs, **({REST: rest} if rest else {})}
    return tuple(
        _filled(field, given[field.name]) if field.name in given else field for field in fields
    )


def _filled(field: Field, value: Json) -> Field:
    is_empty = field.may_be_empty and value in ("", [])
    return replace(
        field,
        value=_shown(field, value),
        is_empty_offered=is_empty,
        is_empty_meant=is_empty,
    )


def _field(
    name: str, given: Mapping[str, Json], *, schema: Mapping[str, Json], is_required: bool
) -> Field:
    told_of = _resolve(given, schema)
    kind, line_kind = _kind_of(told_of, schema)
    options = _options(told_of)
    if kind is Kind.SWITCH and _may_be_nothing(given):
        # A switch is on or off; this one may also be left alone.
        kind, options = Kind.CHOICE, _YES_OR_NO
    default = given.get("default", told_of.get("default"))
    empty = Field(
        name=name,
        label=_label(name, given),
        kind=kind,
        line_kind=line_kind,
        is_required=is_required,
        options=options,
        minimum=_bound(told_of, "minimum", "exclusiveMinimum"),
        maximum=_bound(told_of, "maximum", "exclusiveMaximum"),
        least_characters=told_of.get("minLength"),
        most_characters=told_of.get("maxLength"),
    )
    help_ = _help(empty, str(given.get("description") or told_of.get("description") or ""), told_of)
    shown = "" if default is None else _shown(empty, default)
    return replace(empty, help=help_, value=shown)


def _file(name: str, given: Mapping[str, Json], wanted: FileField, *, is_required: bool) -> Field:
    description = str(given.get("description") or "")
    return Field(
        name=name,
        label=_label(name, given),
        kind=Kind.FILE,
        is_required=is_required,
        help=f"{description.rstrip('.')}." if description else "",
        accept="" if wanted.accept == UNKNOWN_TYPE else wanted.accept,
        is_many=wanted.is_many,
    )


def _label(name: str, given: Mapping[str, Json]) -> str:
    return str(given.get("title") or name.replace("_", " ").capitalize())


def _may_be_nothing(given: Mapping[str, Json]) -> bool:
    return any(each.get("type") == "null" for each in given.get("anyOf", ()))


def _resolve(given: Mapping[str, Json], schema: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return what a property is: behind its reference, and without the null it may also be."""
    # A chain of references this long leads in a circle.
    for _ in range(8):
        if "$ref" in given:
            key = str(given["$ref"]).removeprefix("#/$defs/")
            given = schema.get("$defs", {}).get(key, {})
            continue
        branches = [each for each in given.get("anyOf", ()) if each.get("type") != "null"]
        if len(branches) != 1:
            break
        given = {**branches[0], **{key: given[key] for key in given if key != "anyOf"}}
    return given


def _kind_of(told_of: Mapping[str, Json], schema: Mapping[str, Json]) -> tuple[Kind, Kind]:
    if "enum" in told_of or "const" in told_of:
        return Kind.CHOICE, Kind.TEXT
    type_ = told_of.get("type")
    if type_ == "array" and "prefixItems" not in told_of:
        item, _ = _kind_of(_resolve(told_of.get("items", {}), schema), schema)
        return (Kind.LINES, item) if item in _SIMPLE else (Kind.JSON, Kind.TEXT)
    if type_ == "string":
        is_long = told_of.get("maxLength", _LONG) >= _LONG and "pattern" not in told_of
        plain = Kind.LONG_TEXT if is_long else Kind.TEXT
        return _FORMATS.get(str(told_of.get("format")), plain), Kind.TEXT
    if isinstance(type_, str):
        return _TYPES.get(type_, Kind.JSON), Kind.TEXT
    return (Kind.JSON if "anyOf" in told_of or "oneOf" in told_of else Kind.ANY), Kind.TEXT


def _options(told_of: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    values = told_of.get("enum", [told_of["const"]] if "const" in told_of else [])
    return tuple(
        (json.dumps(each), each if isinstance(each, str) else json.dumps(each)) for each in values
    )


def _bound(told_of: Mapping[str, Json], name: str, exclusive: str) -> float | None:
    bound = told_of.get(name, told_of.get(exclusive))
    return bound if isinstance(bound, int | float) else None


_HELP = {
    Kind.MOMENT: "In UTC.",
    Kind.LINES: "One per line.",
    Kind.JSON: "As JSON.",
    Kind.ANY: "JSON, or any text.",
}


def _help(field: Field, description: str, told_of: Mapping[str, Json]) -> str:
    said = [f"{description.rstrip('.')}."] if description else []
    if field.kind is Kind.JSON and told_of.get("properties"):
        said.append(_example(told_of["properties"]))
    elif field.kind in _HELP:
        said.append(_HELP[field.kind])
    if field.kind in (Kind.WHOLE, Kind.NUMBER):
        said.append(_range("", field.minimum, field.maximum))
    if field.kind in (Kind.TEXT, Kind.LONG_TEXT):
        said.append(_range(" characters", field.least_characters, field.most_characters))
    if field.kind is Kind.LINES:
        said.append(_range(" of them", told_of.get("minItems"), told_of.get("maxItems")))
    return " ".join(each for each in said if each)


def _example(properties: Mapping[str, Json]) -> str:
    names = [f"{json.dumps(name, ensure_ascii=False)}: …" for name in properties]
    return f"As JSON: {{{', '.join(names)}}}."


def _range(unit: str, least: float | None, most: float | None) -> str:
    # A bound such as 1e100 keeps a number finite and tells nobody anything.
    least, most = (
        None if each is not None and abs(each) > 1e15 else each for each in (least, most)
    )
    if least is not None and most is not None:
        return f"{_plain(least)} to {_plain(most)}{unit}."
    if least is not None:
        return f"At least {_plain(least)}{unit}."
    return f"At most {_plain(most)}{unit}." if most is not None else ""


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _shown(field: Field, value: Json) -> str:
    """Return an argument as one would type it into its field."""
    if field.kind is Kind.FILE:
        return ", ".join(each.name for each in find_references(value))
    if field.kind is Kind.SWITCH:
        return "on" if value is True else ""
    if field.kind is Kind.LINES and isinstance(value, list):
        return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in value)
    if field.kind is Kind.CHOICE:
        return json.dumps(value)
    if isinstance(value, str) and field.kind is not Kind.JSON:
        return value.removesuffix("Z") if field.kind is Kind.MOMENT else value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
