from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.task import Codec
from celeriac.engine.codec import dump_typed
from celeriac.web.readable import to_plain


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2026, 11, 22, 12, tzinfo=UTC), "2026-11-22T12:00:00+00:00"),
        (datetime(2026, 11, 22, 12, tzinfo=UTC).date(), "2026-11-22"),
        (datetime(2026, 11, 22, 12, tzinfo=UTC).time(), "12:00:00"),
        (Decimal("1.50"), "1.50"),
        (
            UUID("12345678-1234-5678-1234-567812345678"),
            "12345678-1234-5678-1234-567812345678",
        ),
        (b"text", "text"),
        # bytes that are no text are base64
        (b"\xff\xfe", "//4="),
        ({"deep": [Decimal(1), {"deeper": b"x"}]}, {"deep": ["1", {"deeper": "x"}]}),
        ([1, 2.5, None, True, "x"], [1, 2.5, None, True, "x"]),
    ],
)
def test_a_typed_value_is_shown_as_its_text(value: object, shown: object) -> None:
    assert to_plain(dump_typed(value), Codec.TYPED) == shown


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "uuid", "__value__": {"hex": "no"}},
        {"__type__": "uuid", "__value__": {"surprise": 1}},
        {"__type__": "x", "__value__": 1, "more": 2},
        {"__type__": "x"},
    ],
)
def test_an_object_that_only_looks_typed_is_shown_as_it_is(value: object) -> None:
    assert to_plain(json.dumps(value), Codec.TYPED) == value


def test_plain_json_is_never_taken_for_typed() -> None:
    text = '{"__type__": "decimal", "__value__": "1"}'

    assert to_plain(text, Codec.JSON) == json.loads(text)


def test_nothing_is_nothing() -> None:
    assert to_plain(None, Codec.JSON) is None


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_sent(text: str) -> None:
    shown = to_plain(json.dumps(text), Codec.JSON)

    assert json.dumps(shown, ensure_ascii=False).encode("utf-8")
