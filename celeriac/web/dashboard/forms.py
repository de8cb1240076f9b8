"""A form out of a task's JSON Schema, and arguments out of the form: pure functions.

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
from celeriac.errors import FieldProblem
from celeriac.web.refusals import BrokenBodyError, InvalidBodyError
from celeriac.web.strict_json import parse_strict

Json = Any

# Before every argument's name, so that none is taken for a field of the form's own.
ARGUMENT = "arg."
# Where a task takes arguments that its schema does not name.
REST = "more."
# A text that may be as long as this gets more than one line.
_LONG = 200
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


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

    @property
    def key(self) -> str:
        """Its name in the form."""
        return ARGUMENT + self.name

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
        replace(field, value=_shown(field, given[field.name])) if field.name in given else field
        for field in fields
    )


def refill(
    fields: Sequence[Field], sent: Mapping[str, Sequence[str]], problems: Sequence[FieldProblem]
) -> tuple[Field, ...]:
    """Return the fields as they were sent, each with what is wrong with it."""
    wrong: dict[str, list[str]] = {}
    for problem in problems:
        wrong.setdefault(first_step(problem.pointer), []).append(told(problem))
    return tuple(
        replace(
            field,
            # Nobody may put a file into somebody's form; it must be chosen again.
            value=field.value if field.kind is Kind.FILE else "\n".join(sent.get(field.key, ())),
            problem="; ".join(wrong.get(field.name, ())),
        )
        for field in fields
    )


def first_step(pointer: str) -> str:
    """Return which argument a JSON pointer leads into; empty for all of them."""
    step = pointer.lstrip("/").partition("/")[0]
    return step.replace("~1", "/").replace("~0", "~")


def told(problem: FieldProblem) -> str:
    """Return what is wrong inside a field, with the place where it is deeper than the field."""
    place = ".".join(problem.pointer.split("/")[2:])
    return f"{place}: {problem.detail}" if place else problem.detail


def arguments_from(
    fields: Sequence[Field], sent: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Json], tuple[FieldProblem, ...]]:
    """Return the arguments a form says, and the fields that cannot be read.

    What was left empty is left out, unless it must be given: then a text is the empty text. Files
    are left out, too: they are no texts.
    """
    kwargs: dict[str, Json] = {}
    problems = []
    for field in fields:
        if field.kind is Kind.FILE:
            continue
        text = "\n".join(sent.get(field.key, ())).replace("\r\n", "\n")
        if _is_left_out(field, text):
            continue
        try:
            value = _read(field.kind, text, line_kind=field.line_kind)
        except ValueError as error:
            problems.append(FieldProblem(pointer=_pointer(field.name), detail=str(error)))
            continue
        if field.name != REST:
            kwargs[field.name] = value
        elif isinstance(value, dict):
            kwargs.update(value)
        else:
            problems.append(FieldProblem(pointer=_pointer(REST), detail="must be a JSON object"))
    return kwargs, tuple(problems)


def _is_left_out(field: Field, text: str) -> bool:
    if text.strip() or field.kind is Kind.SWITCH:
        return False
    # The schema decides whether an empty text, or no line at all, is good enough.
    return not field.is_required or field.kind not in (Kind.TEXT, Kind.LONG_TEXT, Kind.LINES)


def _read(kind: Kind, text: str, *, line_kind: Kind) -> Json:
    match kind:
        case Kind.SWITCH:
            return text == "on"
        case Kind.WHOLE:
            return _whole(text.strip())
        case Kind.NUMBER:
            return _number(text.strip())
        case Kind.MOMENT:
            # A browser's field knows no zone; the page says that it is read as UTC.
            given = text.strip()
            return f"{given}Z" if _MOMENT.fullmatch(given) else given
        case Kind.DATE | Kind.TIME:
            return text.strip()
        case Kind.LINES:
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return [_line(line_kind, line, number) for number, line in enumerate(lines, 1)]
        case Kind.JSON | Kind.CHOICE:
            return _json(text)
        case Kind.ANY:
            try:
                return _json(text)
            except ValueError:
                return text
    return text


def _line(kind: Kind, line: str, number: int) -> Json:
    try:
        return _read(kind, line, line_kind=Kind.TEXT)
    except ValueError as error:
        raise ValueError(f"line {number} {error}") from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _number(text: str) -> float | int:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("must be a number")
    return number


def _json(text: str) -> Json:
    try:
        return parse_strict(text.encode("utf-8", errors="surrogatepass"))
    except (BrokenBodyError, InvalidBodyError) as error:
        why = str(error) if isinstance(error, InvalidBodyError) else "must be JSON"
        raise ValueError(why) from None


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
    if field.kind in _HELP:
        said.append(_HELP[field.kind])
    if field.kind in (Kind.WHOLE, Kind.NUMBER):
        said.append(_range("", field.minimum, field.maximum))
    if field.kind in (Kind.TEXT, Kind.LONG_TEXT):
        said.append(_range(" characters", field.least_characters, field.most_characters))
    if field.kind is Kind.LINES:
        said.append(_range(" of them", told_of.get("minItems"), told_of.get("maxItems")))
    return " ".join(each for each in said if each)


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


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
