"""Words of a command line as a task's arguments: pure, by the task's JSON Schema."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeriac.cli.misuse import MisuseError
from celeriac.core.file_fields import FileField, file_fields
from celeriac.core.schema_texts import kinds_of, kinds_of_items, read_item, read_value

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
        MisuseError: A word is none of these, or a name comes twice.
    """
    properties = schema.get("properties", {})
    files = file_fields(schema)
    found: dict[str, Any] = {}
    listed: set[str] = set()
    for word in words:
        name, has_value, text = word.partition("=")
        if not has_value or not name:
            raise MisuseError(f"{word!r} is no NAME=VALUE", fix=_named(words, schema, files))
        if name in files:
            _add_file(found, name, text, files[name], open_file)
            continue
        if text.startswith("@"):
            text = text[1:] if text.startswith("@@") else read_file(text[1:])
        field = properties.get(name, {})
        value = read_value(text, field, schema)
        if value == [text] and "," in text:
            _refuse_commas(name, text, kinds_of_items(field, schema))
        if name not in found:
            found[name] = value
        elif "array" not in kinds_of(field, schema):
            raise MisuseError(f"{name} is given twice", fix="give it once: it takes one value")
        elif name in listed:
            found[name].append(read_item(text, field, schema))
        else:
            found[name] = [*_as_list(found[name]), read_item(text, field, schema)]
            listed.add(name)
    return found


def _named(words: Sequence[str], schema: Schema, files: Mapping[str, FileField]) -> str:
    """Return what was meant: values get the names that are left, in order."""
    properties = schema.get("properties", {})
    if not properties:
        return "leave it out: this task takes no arguments by name"
    sentence = _sentence(words, schema)
    if sentence:
        return f"write {sentence}"
    given = {word.partition("=")[0] for word in words if "=" in word}
    left = [name for name in properties if name not in given]
    typed = []
    for word in words:
        named = word
        if not word.partition("=")[0] or "=" not in word:
            name = left.pop(0) if left else "NAME"
            value = word.lstrip("=")
            named = f"{name}=@{value.lstrip('@')}" if name in files else f"{name}={value}"
        typed.append(shlex.quote(named))
    return f"write {' '.join(typed)}"


def _sentence(words: Sequence[str], schema: Schema) -> str:
    """Return the words as the one text the task needs; empty where they may be several values."""
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    if len(words) < 2 or len(required) != 1 or any("=" in word for word in words):
        return ""
    name = required[0]
    if kinds_of(properties[name], schema) != {"string"}:
        return ""
    if len(words) <= len(properties) and all(
        "string" in kinds_of(field, schema) or read_value(word, field, schema) != word
        for word, field in zip(words, properties.values(), strict=False)
    ):
        return ""
    text = " ".join(words)
    # Double quotes hold in every shell, also of Windows, unless one reads what is in them.
    is_plain = all(each.isalnum() or each in " .,:;?'-_" for each in text)
    return f'{name}="{text}"' if is_plain else f"{name}={shlex.quote(text)}"


def _refuse_commas(name: str, text: str, kinds: frozenset[str]) -> None:
    """Refuse several values in one; they are not split, since 1,5 is one number to many people."""
    if not kinds or "string" in kinds:
        return
    several = " ".join(f"{name}={each.strip()}" for each in text.split(","))
    raise MisuseError(
        f"{name} is a list, and {text!r} would be one value of it", fix=f"write {several}"
    )


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _add_file(
    found: dict[str, Any], name: str, text: str, field: FileField, open_file: Callable[[str], Any]
) -> None:
    if not text.startswith("@"):
        raise MisuseError(
            f"{name} is a file, and {text!r} is none", fix=f"write {name}=@{text or 'FILE'}"
        )
    if name in found and not field.is_many:
        raise MisuseError(f"{name} is given twice", fix="give it once: it takes one value")
    file = open_file(text[1:])
    if field.is_many:
        found.setdefault(name, []).append(file)
    else:
        found[name] = file
