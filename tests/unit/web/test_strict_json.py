from __future__ import annotations

import contextlib
import gc
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.web.refusals import BrokenBodyError, InvalidBodyError
from celeriac.web.strict_json import MOST_DEPTH, parse_strict

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


@given(values)
def test_whatever_json_can_say_is_read_as_it_was_written(value: object) -> None:
    escaped = json.dumps(value).encode()
    raw = json.dumps(value, ensure_ascii=False).encode()

    assert parse_strict(escaped) == parse_strict(raw) == value


@given(st.binary())
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(BrokenBodyError, InvalidBodyError):
        assert parse_strict(body) == json.loads(body)


@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_depth_is_counted_to_the_last_level(pair: str) -> None:
    begin, end = pair[:-1], pair[-1]
    just = begin * MOST_DEPTH + "1" + end * MOST_DEPTH

    assert parse_strict(just.encode())
    with pytest.raises(InvalidBodyError, match="deeper"):
        parse_strict((begin + just + end).encode())


def test_brackets_in_a_text_are_no_depth() -> None:
    text = '[{"\\' * 100

    assert parse_strict(json.dumps({text: [text]}).encode()) == {text: [text]}


def test_a_long_number_in_a_text_is_no_number() -> None:
    text = "9" * 5000 + "1e999"

    assert parse_strict(json.dumps([text, 1.5, 7]).encode()) == [text, 1.5, 7]


@pytest.mark.parametrize(
    "text",
    [
        "1e999",
        "-1e999",
        "1" + "0" * 400 + ".5",
        "9" * 1001,
        "-" + "9" * 1001,
        "NaN",
        "-Infinity",
        '"\\u0000"',
        '"\\ud800"',
        '{"\\udfff":1}',
        '{"a":1,"b":2,"a":3}',
        '[[{"a":1,"a":1}]]',
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(text: str) -> None:
    with pytest.raises(InvalidBodyError):
        parse_strict(text.encode())


@pytest.mark.parametrize("text", ["", " ", "{", "nul", "01", "[1,]", "'a'", '"\t"', "\x00", "1 2"])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    with pytest.raises(BrokenBodyError):
        parse_strict(text.encode())


@pytest.mark.parametrize("text", ["9" * 1000, "1e308", "-0.0", "1E5", "0.1e-400"])
def test_a_number_in_bounds_is_read(text: str) -> None:
    assert parse_strict(text.encode()) == json.loads(text)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_works_on_as_it_did_before(*, was_enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()

        with pytest.raises(BrokenBodyError):
            parse_strict(b"{")

        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000 + b"]" * 500_000,
        b"[" + b"[]," * 340_000 + b"[]]",
        b"[" + b"1," * 500_000 + b"1]",
        json.dumps({str(number): 1 for number in range(80_000)}).encode(),
        b"9" * 1_000_000,
        b'"' + b"\\u0041" * 170_000 + b'"',
        b'"' * 1_000_000,
        b'"' + b"\\" * 1_000_000,
        b"[" + b'"",' * 300_000 + b'""]',
        b"[" + b",".join([b"9" * 299] * 3400) + b"]",
        b"[" + b",".join([b"[" * 32 + b"]" * 32] * 15_000) + b"]",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_hostile_body_keeps_no_core_busy(body: bytes) -> None:
    begun = time.thread_time()

    with contextlib.suppress(BrokenBodyError, InvalidBodyError):
        parse_strict(body)

    # A twentieth of a second on a machine of its own; what this is about took minutes.
    assert time.thread_time() - begun < 2.0
