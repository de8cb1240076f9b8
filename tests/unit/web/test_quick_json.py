from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.web.quick_json import DOUBTFUL, read_quickly
from celeriac.web.refusals import BrokenBodyError, InvalidBodyError
from celeriac.web.strict_json import MOST_DEPTH, parse_strict

# Short bodies are read closely anyway, so these are made long.
_PADDING = b" " * 600

# What a stranger would put together to be understood in two ways.
pieces = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", " ", "\n", '"', "\\", "\\u003a", "\\u0022", "\\u0000"),
        *("\\ud800", "\\ud83d\\ude00", '"a"', '"a":', '"a" :', '":"', '"\\":"', '"\\u0061":', "ü"),
        *('{"a":1,', '{"a":1,"a":2}', '"a\\":":', "1", "-0", "1e5", "1E999", "9" * 19, "NaN"),
    ]
)
keys = st.sampled_from(['"a"', '"b"', '"\\u0061"', '":"', '"a\\":"', '" :"', '"\\u003a"', '"ü"'])
blanks = st.sampled_from(["", " ", "\t", "\n "])
scalars = keys | st.sampled_from(["1", "-0", "1.50", "1e5", "1e999", "null", "true", "9" * 20])


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(keys, blanks, blanks, inner).map(
        lambda each: f"{each[0]}{each[1]}:{each[2]}{each[3]}"
    )
    return st.lists(pair, max_size=4).map(lambda pairs: f"{{{','.join(pairs)}}}")


documents = st.recursive(
    scalars,
    lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda of: f"[{','.join(of)}]"),
    max_leaves=12,
)


def agrees(body: bytes) -> None:
    found = read_quickly(body, most_depth=MOST_DEPTH)

    if found is not DOUBTFUL:
        assert json.dumps(found) == json.dumps(closely(body))


def closely(body: bytes) -> Any:
    """Return what is read by who looks at every pair; a refusal where that refuses."""
    assert len(body) < len(_PADDING)
    try:
        return parse_strict(body)
    except (BrokenBodyError, InvalidBodyError) as error:
        return repr(error)


@given(documents)
def test_what_is_read_quickly_is_what_is_read_closely(document: str) -> None:
    agrees(document.encode()[:500])


@given(st.lists(pieces, max_size=12).map("".join))
def test_no_heap_of_pieces_is_read_in_two_ways(text: str) -> None:
    agrees(text.encode()[:500])


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        # Colons in strings shall not make up for a key that is named twice.
        '{"a":1,"a":"\\u003a"}',
        '{"a":1,"a":2,"b":"\\u003a"}',
        '{"a" :1,"a"\t:":"}',
        '["\\u0000"]',
        '["\\ud800"]',
        "[1e999]",
        "[NaN]",
        "[" * 65 + "]" * 65,
        '{"a":' * 65 + "1" + "}" * 65,
    ],
)
def test_what_is_doubtful_is_refused_in_a_long_body_too(text: str) -> None:
    with pytest.raises(InvalidBodyError):
        parse_strict(text.encode() + _PADDING)


@pytest.mark.parametrize(
    "value",
    [
        {"url": "http://x:80/?a=b", "at": "12:30", ":": '":', '"': ":"},
        {"n": [2**63, -(2**63), 2**64 - 1, 2**70, -0.0, 1e308, 5e-324]},
        {"ü": "🙂", "deep": {"a": {"a": {"a": []}}}},
        json.loads("[" * 64 + "]" * 64),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_long_body_is_read_as_it_was_written(value: Any, indent: int | None) -> None:
    for is_ascii in (True, False):
        written = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()

        assert json.dumps(parse_strict(written + _PADDING)) == json.dumps(value)


def test_an_ordinary_body_is_not_doubtful() -> None:
    task = {"name": "process", "arguments": {"data": "see http://x/?a=1: it is 12:30 ü"}}
    body = json.dumps({"tasks": [task] * 20}).encode()

    assert read_quickly(body, most_depth=MOST_DEPTH) == {"tasks": [task] * 20}
