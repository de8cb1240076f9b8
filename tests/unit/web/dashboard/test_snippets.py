from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

from celeriac.cli.arguments import parse_arguments
from celeriac.web.dashboard.forms import fields_of
from celeriac.web.dashboard.guide import form_url
from celeriac.web.dashboard.snippets import (
    Call,
    FileToSend,
    cli_text,
    curl_text,
    example_of,
    python_text,
)

Json = Any
URL = "http://127.0.0.1:8000"


def call(name: str = "shop.pack", saves_to: str = "", **arguments: Json) -> Call:
    return Call(name=name, arguments=arguments, url=URL, saves_to=saves_to)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two words",
        "",
        "@name",
        'a "quote"',
        "it's",
        "$HOME `id`",
        "back\\slash",
        "a=b",
        "über",
    ],
)
def test_the_command_line_reads_what_its_snippet_says(text: str) -> None:
    words = shlex.split(cli_text(call(text=text), command="python run.py"))

    assert words[:4] == ["python", "run.py", "submit", "shop.pack"]
    assert words[-1] == "--watch"
    schema = {"properties": {"text": {"type": "string"}}}
    read: Any = str
    assert parse_arguments(words[4:-1], schema, read_file=read, open_file=read) == {"text": text}


def test_two_words_stand_in_the_quotes_that_every_shell_knows() -> None:
    assert cli_text(call(text="two words"), command="celeriac") == (
        'celeriac submit shop.pack text="two words" --watch'
    )


def test_curl_sends_json_and_the_key() -> None:
    words = shlex.split(curl_text(call(text="it's", n=3), key="ck_x").replace("\\\n", ""))

    assert words[:2] == ["curl", f"{URL}/tasks/shop.pack"]
    assert "Authorization: Bearer ck_x" in words
    assert json.loads(words[words.index("-d") + 1]) == {"text": "it's", "n": 3}


def test_curl_sends_a_file_as_a_part() -> None:
    words = shlex.split(
        curl_text(call(image=FileToSend("a cat.png"), n=3), key="ck_x").replace("\\\n", "")
    )

    assert [words[at + 1] for at, word in enumerate(words) if word == "-F"] == [
        "image=@a cat.png",
        "n=3",
    ]
    assert "-d" not in words


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (call(text='a "quote"', n=1.5, on=True, rest=None), "client.run('shop.pack', text="),
        (call(many=["a", 1]), "many=['a', 1]"),
        (call(image=FileToSend("cat.png"), saves_to="small.png"), "handle.download('small.png')"),
        (Call(name="x", arguments={"no-name": 1}, url=URL), "**{'no-name': 1}"),
    ],
)
def test_python_reads_what_its_snippet_says(given: Call, expected: str) -> None:
    tree = ast.parse(python_text(given, key="ck_x"))

    assert expected in ast.unparse(tree)
    assert "KEY = 'ck_x'" in ast.unparse(tree)


def test_an_example_gives_what_must_be_given() -> None:
    picture = {"type": "string", "format": "binary", "contentMediaType": "image/*"}
    properties = {
        "text": {"type": "string"},
        "n": {"type": "integer", "minimum": 5},
        "share": {"type": "number"},
        "mode": {"enum": ["fit", "fill"]},
        "on": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "place": {"type": "object"},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "hour": {"type": "string", "format": "time"},
        "image": picture,
        "pages": {"type": "array", "items": picture},
        "optional": {"type": "string"},
    }
    required = [name for name in properties if name != "optional"]
    schema = {"type": "object", "properties": properties, "required": required}

    assert example_of(fields_of(schema)) == {
        "text": "hello",
        "n": 5,
        "share": 1,
        "mode": "fit",
        "on": True,
        "names": ["…"],
        "numbers": [1],
        "place": {},
        "at": "2030-01-01T00:00:00Z",
        "day": "2030-01-01",
        "hour": "12:00:00",
        "image": FileToSend("file.png"),
        "pages": [FileToSend("file.png")],
    }


def test_a_forms_address_carries_texts_and_numbers_and_no_file() -> None:
    url = form_url("a/b", {"text": "two & more", "n": 3, "image": FileToSend("x"), "on": True})

    assert url == "/ui/submit/a%2Fb?arg.text=two+%26+more&arg.n=3"
