"""The same call from a terminal, by curl and from Python: pure functions, texts to copy."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from celeriac.web.dashboard.forms import REST, Field, Kind

Json = Any

# What stands where a key belongs, as long as there is none to show.
KEY_VARIABLE = "$CELERIAC_KEY"
KEY_BLANK = "ck_…"
# Needs no quotes in any shell; within double quotes nothing in it means anything to one either.
_BARE = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_QUOTABLE = re.compile(r"[A-Za-z0-9_./:=@,+ ?-]+")


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file among the arguments of an example, by its name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One way to say the same."""

    id: str
    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task to submit, and where."""

    name: str
    arguments: Mapping[str, Json]
    # Where the service is, without a slash at its end.
    url: str
    # To which file its result is written; empty for one that is printed.
    saves_to: str = ""

    @property
    def has_file(self) -> bool:
        """Whether a file goes along."""
        return any(_files_in(value) for value in self.arguments.values())


def snippets_of(call: Call, *, command: str) -> tuple[Snippet, ...]:
    """Return the ways to make a call.

    Args:
        call: The call.
        command: How our command line is called.
    """
    return (
        Snippet(id="cli", label="Terminal", text=cli_text(call, command=command)),
        Snippet(id="curl", label="curl", text=curl_text(call, key=KEY_VARIABLE)),
        Snippet(id="python", label="Python", text=python_text(call, key=KEY_BLANK)),
    )


def cli_text(call: Call, *, command: str) -> str:
    """Return a call for our command line, which has a key of its own."""
    words = [f"{name}={_cli_value(value)}" for name, value in call.arguments.items()]
    return " ".join([command, "submit", _word(call.name), *map(_word, words), "--watch"])


def curl_text(call: Call, *, key: str) -> str:
    """Return a call for curl, in a shell of Unix."""
    # A variable is to be filled in by the shell, a key is plain anyway.
    lines = [f"curl {_word(_address(call))}", f'-H "Authorization: Bearer {key}"']
    lines.append('-H "Prefer: wait=30"')
    if call.has_file:
        for name, value in call.arguments.items():
            text = _files_in(value) or _plain(value)
            lines.append(f"-F {_word(f'{name}={text}')}")
    else:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json.dumps(dict(call.arguments), ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def python_text(call: Call, *, key: str) -> str:
    """Return a call for Python with our client."""
    given = ", ".join([_literal(call.name), *_python_arguments(call.arguments)])
    lines = [f"print(client.run({given}))"]
    if call.saves_to:
        lines = [
            f"handle = client.submit({given})",
            "handle.wait()",
            f"handle.download({_literal(call.saves_to)})",
        ]
    return "\n".join(
        [
            *(["from pathlib import Path", ""] if call.has_file else ()),
            "from celeriac import Client",
            "",
            f"KEY = {_literal(key)}",
            "",
            f"with Client({_literal(call.url)}, KEY) as client:",
            *(f"    {line}" for line in lines),
        ]
    )


def example_of(fields: Sequence[Field]) -> dict[str, Json]:
    """Return arguments by which a task could be called: those that must be given."""
    return {
        field.name: _example(field) for field in fields if field.is_required and field.name != REST
    }


def _example(field: Field) -> Json:
    match field.kind:
        case Kind.FILE:
            file = FileToSend("file.png" if field.accept.startswith("image/") else "file.txt")
            return [file] if field.is_many else file
        case Kind.WHOLE | Kind.NUMBER:
            return 1 if field.minimum is None else field.minimum
        case Kind.SWITCH:
            return True
        case Kind.CHOICE:
            return json.loads(field.options[0][0])
        case Kind.LINES:
            return ["…"] if field.line_kind in (Kind.TEXT, Kind.LONG_TEXT) else [1]
        case Kind.JSON:
            return {}
        case Kind.MOMENT:
            return "2030-01-01T00:00:00Z"
        case Kind.DATE:
            return "2030-01-01"
        case Kind.TIME:
            return "12:00:00"
    return "hello"


def _address(call: Call) -> str:
    return f"{call.url}/tasks/{quote(call.name, safe='')}"


def _python_arguments(arguments: Mapping[str, Json]) -> list[str]:
    if all(name.isidentifier() for name in arguments):
        return [f"{name}={_literal(value)}" for name, value in arguments.items()]
    # A name that Python could not write.
    items = [f"{_literal(name)}: {_literal(value)}" for name, value in arguments.items()]
    return [f"**{{{', '.join(items)}}}"]


def _literal(value: Json) -> str:
    if isinstance(value, FileToSend):
        return f"Path({_literal(value.name)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    # As Python writes it, with the quotes that our papers have.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _cli_value(value: Json) -> str:
    if isinstance(value, str) and value.startswith("@"):
        return f"@{value}"
    return _files_in(value) or _plain(value)


def _files_in(value: Json) -> str:
    """Return an example's file as curl and our command line name one, empty when it is none."""
    one = value[0] if isinstance(value, list) and value else value
    return f"@{one.name}" if isinstance(one, FileToSend) else ""


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _word(text: str) -> str:
    """Return a word of a shell's line, in double quotes where those do: Windows knows no others."""
    if _BARE.fullmatch(text):
        return text
    name, equals, value = text.partition("=")
    if equals and _BARE.fullmatch(name) and _QUOTABLE.fullmatch(value):
        return f'{name}="{value}"'
    return shlex.quote(text)
