from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.task import Arguments, Codec
from celeriac.engine import codec

pytestmark = pytest.mark.slow

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
RICH_SCALARS = (
    SCALARS
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.just(UTC))
    | st.binary(max_size=20)
)
RICH = st.recursive(
    RICH_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=8, alphabet="abc"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_the_codec_carries_whatever_json_can_as_plain_json(value: Any) -> None:
    kind, text = codec.dump(value)

    assert kind is Codec.JSON
    assert codec.load(kind, text) == value


@given(RICH)
def test_the_codec_brings_typed_values_back_as_they_went(value: Any) -> None:
    assert codec.load(*codec.dump(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        # Celery's typed JSON would make a datetime, a Decimal, bytes of these.
        {"__type__": "datetime", "__value__": "2026-11-22T12:00:00+00:00"},
        {"__type__": "decimal", "__value__": "1.5"},
        {"at": {"__type__": "bytes", "__value__": "x"}},
    ],
)
def test_the_codec_leaves_an_object_that_looks_like_a_typed_value_as_it_is(value: Any) -> None:
    assert codec.load(*codec.dump(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 22, 12, tzinfo=UTC),
        date(2026, 11, 22),
        Decimal("1.10"),
        UUID("12345678-1234-5678-1234-567812345678"),
        b"\x00\xff",
    ],
)
def test_the_codec_says_which_texts_are_typed_json(value: Any) -> None:
    kind, text = codec.dump([value])

    assert kind is Codec.TYPED
    assert codec.load(kind, text) == [value]


def test_the_codec_refuses_what_no_json_carries() -> None:
    with pytest.raises(TypeError):
        codec.dump([object()])


@given(st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=5), PLAIN, max_size=3))
def test_arguments_come_back_as_a_list_and_a_mapping(args: list[Any], kwargs: Any) -> None:
    kept = codec.dump_arguments(tuple(args), kwargs)

    assert codec.load_arguments(kept) == (args, kwargs)


def test_arguments_that_are_no_pair_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="unpack"):
        codec.load_arguments(Arguments(codec=Codec.JSON, text="[1,2,3]"))
