from __future__ import annotations

from typing import Any

import pytest

from celeriac.errors import FieldProblem
from celeriac.web.dashboard.answers import (
    FORGOTTEN,
    MOST_PREFILLED,
    arguments_from,
    prefill,
    refill,
    with_others,
)
from celeriac.web.dashboard.forms import REST, Field, Kind, fields_of, fill

Json = Any


def schema_of(properties: dict[str, Json], **more: Json) -> Json:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def field_of(schema: Json, **more: Json) -> Field:
    return fields_of(schema_of({"x": schema}, **more))[0]


def read(schema: Json, *texts: str, **more: Json) -> Json:
    """Return what a form with one argument says of it."""
    kwargs, problems = arguments_from(fields_of(schema_of({"x": schema}, **more)), {"arg.x": texts})
    return problems[0].detail if problems else kwargs.get("x", "left out")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, Kind.LONG_TEXT),
        ({"type": "string", "maxLength": 20}, Kind.TEXT),
        ({"type": "string", "pattern": "^a"}, Kind.TEXT),
        ({"type": "string", "format": "date-time"}, Kind.MOMENT),
        ({"type": "string", "format": "date"}, Kind.DATE),
        ({"type": "string", "format": "time"}, Kind.TIME),
        ({"type": "integer"}, Kind.WHOLE),
        ({"type": "number"}, Kind.NUMBER),
        ({"type": "boolean"}, Kind.SWITCH),
        ({"enum": ["fit", "fill"]}, Kind.CHOICE),
        ({"const": 3}, Kind.CHOICE),
        ({"type": "array", "items": {"type": "number"}}, Kind.LINES),
        ({"type": "array", "items": {"type": "object"}}, Kind.JSON),
        ({"type": "array", "prefixItems": [{"type": "number"}]}, Kind.JSON),
        ({"type": "object"}, Kind.JSON),
        # what may also be nothing is what it is otherwise
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, Kind.WHOLE),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, Kind.JSON),
        ({"$ref": "#/$defs/Mode"}, Kind.CHOICE),
        ({"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]}, Kind.CHOICE),
        # leads in a circle, or nowhere
        ({"$ref": "#/$defs/Loop"}, Kind.ANY),
        ({"$ref": "#/$defs/None"}, Kind.ANY),
        ({}, Kind.ANY),
    ],
)
def test_a_schema_decides_what_a_field_looks_like(schema: Json, kind: Kind) -> None:
    defs = {"Mode": {"enum": ["a"]}, "Loop": {"$ref": "#/$defs/Loop"}}

    assert field_of(schema, **{"$defs": defs}).kind is kind


def test_a_field_tells_what_it_is_for_and_what_it_takes() -> None:
    field = field_of(
        {"type": "integer", "description": "Pixels", "minimum": 16, "maximum": 4096, "default": 256}
    )

    assert (field.label, field.help, field.value) == ("X", "Pixels. 16 to 4,096.", "256")
    assert not field.is_required


@pytest.mark.parametrize(
    ("schema", "help_"),
    [
        ({"type": "number", "minimum": 0.5}, "At least 0.5."),
        ({"type": "integer", "exclusiveMaximum": 9}, "At most 9."),
        # a bound that only keeps a number finite
        ({"type": "number", "minimum": -1e100, "maximum": 1e100}, ""),
        ({"type": "string", "minLength": 2, "maxLength": 8}, "2 to 8 characters."),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "One per line. At most 3 of them.",
        ),
        ({"type": "string", "format": "date-time"}, "In UTC."),
    ],
)
def test_bounds_are_told_in_words(schema: Json, help_: str) -> None:
    assert field_of(schema).help == help_


def test_an_object_tells_the_names_in_it() -> None:
    address = {"type": "object", "properties": {"street": {}, "number": {}}}

    assert field_of(address).help == 'As JSON: {"street": …, "number": …}.'


def test_what_is_wrong_is_told_at_once_and_once_of_each_field() -> None:
    unreadable = (FieldProblem("/ratio", "must be a number"),)
    others = [FieldProblem(at, "is wrong") for at in ("/ratio", "/copies", "/address/street", "")]

    assert [each.pointer for each in with_others(unreadable, others)] == [
        "/ratio",
        "/copies",
        "/address/street",
    ]


def test_a_switch_that_may_be_left_alone_is_a_choice_of_three() -> None:
    schema = {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None}
    field = field_of(schema)

    assert (field.kind, field.value) == (Kind.CHOICE, "")
    assert field.options == (("true", "yes"), ("false", "no"))
    assert [read(schema, text) for text in ("true", "false", "")] == [True, False, "left out"]


def test_what_must_be_given_comes_first() -> None:
    fields = fields_of(
        schema_of({"may": {"type": "string"}, "must": {"type": "string"}}, required=["must"])
    )

    assert [(field.name, field.is_required) for field in fields] == [("must", True), ("may", False)]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, " a\r\nb ", " a\nb "),
        ({"type": "integer"}, " 42 ", 42),
        ({"type": "integer"}, "9" * 30, int("9" * 30)),
        ({"type": "integer"}, "4.5", "must be a whole number"),
        ({"type": "integer"}, "9" * 500, "must be a whole number"),
        ({"type": "integer"}, "٣", "must be a whole number"),
        ({"type": "number"}, "4", 4),
        ({"type": "number"}, "4.5e3", 4500.0),
        ({"type": "number"}, "nan", "must be a number"),
        ({"type": "number"}, "1e999", "must be a number"),
        ({"type": "number"}, "four", "must be a number"),
        ({"type": "boolean"}, "on", True),
        ({"type": "boolean"}, "", False),
        ({"enum": ["fit", 2]}, "2", 2),
        ({"type": "string", "format": "date-time"}, "2026-11-22T12:30", "2026-11-22T12:30Z"),
        ({"type": "string", "format": "date-time"}, "tomorrow", "tomorrow"),
        ({"type": "string", "format": "date"}, " 2026-11-22 ", "2026-11-22"),
        ({"type": "array", "items": {"type": "integer"}}, "1\r\n\r\n 2 ", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, "1\nx", "line 2 must be a whole number"),
        ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
        ({"type": "object"}, "{a}", "must be JSON"),
        ({"type": "object"}, '{"a": NaN}', "NaN is no number in JSON"),
        ({}, "[1, 2]", [1, 2]),
        ({}, "plain words", "plain words"),
        # empty and not asked for
        ({"type": "string"}, "", "left out"),
        ({"type": "integer"}, " ", "left out"),
    ],
)
def test_what_is_typed_becomes_an_argument(schema: Json, text: str, value: Json) -> None:
    assert read(schema, text) == value


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "", FORGOTTEN),
        ({"type": "string", "minLength": 3}, "", FORGOTTEN),
        ({"type": "array", "items": {"type": "string"}}, " \n", FORGOTTEN),
        # blanks are a text that somebody typed
        ({"type": "string"}, " ", " "),
        # the schema says that it is missing
        ({"type": "integer"}, "", "left out"),
    ],
)
def test_what_must_be_given_is_not_left_empty_by_mistake(
    schema: Json, text: str, value: Json
) -> None:
    assert read(schema, text, required=["x"]) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [({"type": "string"}, ""), ({"type": "array", "items": {"type": "string"}}, [])],
)
def test_what_must_be_given_may_be_empty_where_that_is_meant(schema: Json, value: Json) -> None:
    fields = fields_of(schema_of({"x": schema}, required=["x"]))
    sent = {"arg.x": [""], "empty.x": ["on"]}

    again = fill(fields, {"x": value})

    assert arguments_from(fields, sent) == ({"x": value}, ())
    assert [each.is_empty_meant for each in (*fields, *again)] == [False, True]
    assert refill(fields, sent, [])[0].is_empty_meant
    assert refill(fields, {"arg.x": [""]}, [])[0].is_empty_offered
    assert not refill(fields, {"arg.x": ["a"]}, [])[0].is_empty_offered


def test_empty_is_not_offered_where_it_never_fits() -> None:
    schema = schema_of({"x": {"type": "string", "minLength": 1}}, required=["x"])

    assert not refill(fields_of(schema), {"arg.x": [""]}, [])[0].is_empty_offered


def test_arguments_without_a_name_in_the_schema_are_given_as_json() -> None:
    fields = fields_of({"type": "object", "properties": {}})

    assert [field.name for field in fields] == [REST]
    assert arguments_from(fields, {f"arg.{REST}": ['{"a": 1}']}) == ({"a": 1}, ())
    assert arguments_from(fields, {f"arg.{REST}": ["[1]"]})[1] == (
        FieldProblem(pointer=f"/{REST}", detail="must be a JSON object"),
    )


@pytest.mark.parametrize(
    ("schema", "value", "shown"),
    [
        ({"type": "string"}, "words", "words"),
        ({"type": "integer"}, 5, "5"),
        ({"type": "boolean"}, True, "on"),
        ({"type": "boolean"}, False, ""),
        ({"enum": ["a", "b"]}, "b", '"b"'),
        ({"type": "array", "items": {"type": "string"}}, ["a", "b"], "a\nb"),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], "1\n2"),
        ({"type": "object"}, {"é": 1}, '{"é": 1}'),
        ({"type": "string", "format": "date-time"}, "2026-11-22T12:30Z", "2026-11-22T12:30"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, ""),
    ],
)
def test_an_earlier_tasks_arguments_fill_the_form(schema: Json, value: Json, shown: str) -> None:
    assert fill(fields_of(schema_of({"x": schema})), {"x": value})[0].value == shown


def test_earlier_arguments_without_a_field_fill_the_rest() -> None:
    fields = fields_of({"type": "object", "properties": {"x": {"type": "integer"}}})

    assert [each.value for each in fill(fields, {"other": 1})] == ["", '{"other": 1}']


def test_a_form_that_was_refused_comes_back_with_what_is_wrong() -> None:
    fields = fields_of(schema_of({"x": {"type": "string"}, "a/b": {"type": "object"}}))
    problems = [
        FieldProblem(pointer="/x", detail="too short"),
        FieldProblem(pointer="/a~1b/c/0", detail="must be a text"),
    ]

    shown = refill(fields, {"arg.x": ["typed"]}, problems)

    assert [(each.value, each.problem) for each in shown] == [
        ("typed", "too short"),
        ("", "c.0: must be a text"),
    ]


def test_a_fields_id_is_good_for_a_link_whatever_its_name() -> None:
    assert fields_of(schema_of({'a b"<é': {}}))[0].html_id == "field-a_20b_22_3c_e9"


@pytest.mark.parametrize(
    ("schema", "asked", "value"),
    [
        ({"type": "string"}, "hello", "hello"),
        ({"type": "string"}, "x" * MOST_PREFILLED, "x" * MOST_PREFILLED),
        # left out whole
        ({"type": "string"}, "x" * (MOST_PREFILLED + 1), ""),
        ({"type": "string"}, "a\0b", ""),
        # as one typed it: what is wrong with it is told when it is sent
        ({"type": "integer"}, "many", "many"),
        ({"type": "boolean"}, "on", "on"),
        ({"type": "boolean"}, "yes", ""),
        ({"enum": ["fit", "fill"]}, '"fill"', '"fill"'),
        ({"enum": ["fit", "fill"]}, '"other"', ""),
        # nobody puts a file into somebody's form
        ({"type": "string", "format": "binary", "contentMediaType": "image/*"}, "cat.png", ""),
    ],
)
def test_a_link_fills_in_what_a_form_has_a_field_for(schema: Json, asked: str, value: str) -> None:
    fields = fields_of(schema_of({"x": schema}))

    (field,) = prefill(fields, {"arg.x": asked, "arg.y": "stray", "x": "bare", "queue": "other"})

    assert field.value == value


def test_a_link_says_nothing_of_arguments_that_the_form_does_not_name() -> None:
    fields = fields_of({"type": "object", "properties": {}})

    assert [each.value for each in prefill(fields, {f"arg.{REST}": "{}"})] == [""]
