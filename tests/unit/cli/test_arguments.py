from __future__ import annotations

from typing import Any

import click
import pytest

from celeriac.cli.arguments import parse_arguments
from celeriac.cli.misuse import MisuseError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "width": {"type": "integer"},
        "share": {"type": "number"},
        "deep": {"type": "boolean"},
        "mode": {"enum": ["fit", "fill"], "type": "string"},
        "level": {"enum": [1, 2]},
        "fixed": {"const": "x"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "maybe_words": {
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]
        },
        "point": {"$ref": "#/$defs/Point"},
        "lost": {"$ref": "#/$defs/Nothing"},
        "loop": {"$ref": "#/$defs/Loop"},
        "anything": {},
        "bare": {"type": "array"},
        "image": {"type": "string", "format": "binary", "contentMediaType": "image/*"},
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary", "contentMediaType": "image/*"},
        },
    },
    "$defs": {"Point": {"type": "object"}, "Loop": {"$ref": "#/$defs/Loop"}},
}


def parse(*words: str) -> dict[str, Any]:
    return parse_arguments(
        words, SCHEMA, read_file=lambda name: f"<{name}>", open_file=lambda name: f"[{name}]"
    )


@pytest.mark.parametrize(
    ("word", "value"),
    [
        # A text stays as it is, whatever it looks like.
        ("text=5", "5"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=true", "true"),
        ("width=5", 5),
        # A list that does not say of what.
        ("bare=5", [5]),
        ("bare=five", ["five"]),
        # The service says what is wrong with it.
        ("width=five", "five"),
        ("width=5.5", "5.5"),
        ("share=5", 5),
        ("share=1e3", 1000.0),
        ("share=NaN", "NaN"),
        ("deep=true", True),
        ("deep=No", False),
        ("deep=1", "1"),
        ("mode=fit", "fit"),
        ("level=2", 2),
        ("fixed=x", "x"),
        ("maybe=null", None),
        ("maybe=7", 7),
        ("either=7", 7),
        ("either=x", "x"),
        ("numbers=[1,2]", [1, 2]),
        # One value alone is a list of one.
        ("numbers=1", [1]),
        ("maybe_words=5", ["5"]),
        ("maybe_words=null", None),
        ('point={"x": 1}', {"x": 1}),
        ("lost=5", 5),
        ("loop=x", "x"),
        ('anything={"a": [1]}', {"a": [1]}),
        ("anything=plain words", "plain words"),
        # What the schema does not name goes along, for the service to refuse.
        ("unknown=5", 5),
        ("text=@story.txt", "<story.txt>"),
        ("text=@-", "<->"),
        ("text=@@home", "@home"),
        ("text=a@b", "a@b"),
    ],
)
def test_a_word_is_read_by_its_fields_schema(word: str, value: Any) -> None:
    assert parse(word) == {word.partition("=")[0]: value}


def test_values_of_a_list_are_not_split_at_commas_and_it_is_said_how_they_are_given() -> None:
    with pytest.raises(MisuseError) as caught:
        parse("numbers=1, 2,4")

    assert "numbers is a list" in str(caught.value)
    assert caught.value.fix == "write numbers=1 numbers=2 numbers=4"
    assert parse("maybe_words=a,b") == {"maybe_words": ["a,b"]}


def test_a_list_may_be_given_one_by_one() -> None:
    assert parse("numbers=1", "numbers=2", "numbers=3") == {"numbers": [1, 2, 3]}


@pytest.mark.parametrize(
    "words",
    [
        ("text",),
        ("=x",),
        ("text=a", "text=b"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        parse(*words)


def test_a_file_is_sent_and_not_read() -> None:
    assert parse("image=@cat.png", "files=@a", "files=@b") == {
        "image": "[cat.png]",
        "files": ["[a]", "[b]"],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image=cat.png"], "image is a file, and 'cat.png' is none"),
        (["image="], "image is a file, and '' is none"),
        (["image=@a", "image=@b"], "image is given twice"),
    ],
)
def test_a_file_that_is_none_is_told_of(words: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        parse(*words)


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("Ada",), "write text=Ada"),
        (("=Ada",), "write text=Ada"),
        (("text=x", "5", "two words"), "write text=x width=5 'share=two words'"),
    ],
)
def test_a_value_without_its_name_is_told_with_the_name(words: tuple[str, ...], fix: str) -> None:
    with pytest.raises(MisuseError, match="is no NAME=VALUE") as caught:
        parse(*words)

    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("schema", "fix"),
    [
        ({}, "leave it out: this task takes no arguments by name"),
        ({"properties": {"image": SCHEMA["properties"]["image"]}}, "write image=@cat.png NAME=5"),
    ],
)
def test_a_value_without_its_name_is_told_for_every_task(schema: dict[str, Any], fix: str) -> None:
    with pytest.raises(MisuseError) as caught:
        parse_arguments(["cat.png", "5"], schema, read_file=str, open_file=str)

    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("hello", "world"), 'write text="hello world"'),
        # More words than the second field can be, which is a number.
        (("hello", "big", "world"), 'write text="hello big world"'),
        (("it", "costs", "$5"), "write text='it costs $5'"),
        (("hello", "5"), "write text=hello times=5"),
    ],
)
def test_words_that_lack_their_quotes_are_told_as_one_text(
    words: tuple[str, ...], fix: str
) -> None:
    schema = {
        "properties": {"text": {"type": "string"}, "times": {"type": "integer"}},
        "required": ["text"],
    }

    with pytest.raises(MisuseError) as caught:
        parse_arguments(words, schema, read_file=str, open_file=str)

    assert caught.value.fix == fix
