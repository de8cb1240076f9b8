from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.file_fields import file_fields, file_schema
from celeriac.core.file_names import clean_content_type, clean_name, matches_type
from celeriac.core.file_reference import (
    FileId,
    FileReference,
    find_file_ids,
    find_references,
    read_reference,
    without_file_ids,
)

ID = FileId("0123456789abcdef" * 2)
CAT = FileReference(id=ID, name="cat", content_type="image/png", size_bytes=1, sha256="ab")


@given(st.text())
def test_a_name_is_short_can_be_seen_and_leads_nowhere(text: str) -> None:
    name = clean_name(text)

    assert name
    assert name not in (".", "..")
    assert name.isprintable()
    assert not set(name) & set("/\\\0")
    assert len(name.encode()) <= 200
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a" * 300 + ".png", "a" * 196 + ".png"),
        # no suffix, only a dot somewhere
        ("a." + "b" * 300, "a." + "b" * 198),
        # cut between two letters, never within one
        ("ß" * 150, "ß" * 100),
        (".hidden", ".hidden"),
    ],
)
def test_a_long_name_is_cut_before_its_suffix(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize(
    ("said", "name", "content_type"),
    [
        ("image/png", "a.txt", "image/png"),
        ("IMAGE/PNG; q=1", "a", "image/png"),
        # says nothing
        (None, "a.webp", "image/webp"),
        ("", "a.jpeg", "image/jpeg"),
        ("application/octet-stream", "a.csv", "text/csv"),
        # makes no sense
        ("image", "a", "application/octet-stream"),
        ("a/b\r\nX: y", "a", "application/octet-stream"),
        ("a/" + "b" * 100, "a", "application/octet-stream"),
        ("größe/b", "a", "application/octet-stream"),
    ],
)
def test_a_content_type_is_one_word_for_each_half(
    said: str | None, name: str, content_type: str
) -> None:
    assert clean_content_type(said, name) == content_type


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("image/*", True), ("image/png", True), ("*/*", True), ("text/*", False), ("image/x", False)],
)
def test_a_pattern_names_types(pattern: str, *, fits: bool) -> None:
    assert matches_type("image/png", pattern) is fits


def test_a_reference_is_read_as_it_was_written() -> None:
    assert read_reference(json.loads(json.dumps(CAT.to_json()))) == CAT


@pytest.mark.parametrize(
    "changes",
    [{"celeriac_file": "x"}, {"celeriac_file": 1}, {"name": ...}, {"size_bytes": "many"}],
)
def test_what_only_looks_like_one_is_none(changes: dict[str, Any]) -> None:
    value = {name: each for name, each in {**CAT.to_json(), **changes}.items() if each is not ...}

    assert read_reference(value) is None


@given(st.integers(0, 3))
def test_a_file_is_found_however_deep_its_text_is_wrapped(depth: int) -> None:
    text = json.dumps([{"x": CAT.to_json()}])
    for _ in range(depth):
        text = json.dumps({"inner": text})

    assert find_file_ids(None, text) == {ID}
    assert ID not in without_file_ids(text)


def test_texts_without_files_speak_of_none() -> None:
    assert find_file_ids(None, "", '{"celeriac_file": 1}', f'{{"other": "{ID}"}}') == set()
    assert without_file_ids("[1]") == "[1]"


def test_references_are_found_in_order_and_once() -> None:
    dog = FileReference(**{**{each: getattr(CAT, each) for each in CAT.__slots__}, "id": "f" * 32})

    found = find_references([{"b": dog.to_json()}, (CAT.to_json(),), {"a": dog.to_json()}, 1, None])

    assert found == [dog, CAT]


def test_fields_that_are_files_are_known_by_their_schema() -> None:
    one, many = file_schema("image/*"), {"type": "array", "items": file_schema("a/b")}
    null = {"type": "null"}
    properties = {
        "one": one,
        "maybe": {"anyOf": [one, null]},
        "many": many,
        "maybe_many": {"anyOf": [many, null]},
        "text": {"type": "string"},
        "bytes": {"type": "string", "format": "binary"},
        "numbers": {"type": "array", "items": {"type": "integer"}},
    }

    found = file_fields({"properties": properties})

    assert {name: (each.is_many, each.accept) for name, each in found.items()} == {
        "one": (False, "image/*"),
        "maybe": (False, "image/*"),
        "many": (True, "a/b"),
        "maybe_many": (True, "a/b"),
    }
    assert file_fields({}) == {}
