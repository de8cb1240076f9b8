from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.page import Cursor
from celeriac.core.task import TaskId
from celeriac.errors import InvalidOptionError
from celeriac.web.page_tokens import PageTokens

KEY, OTHER = b"k" * 32, b"o" * 32
CURSOR = Cursor(created_at=datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC), id=TaskId("task-1"))

cursors = st.builds(
    Cursor,
    created_at=st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis wants it naive
        timezones=st.just(UTC),
    ),
    id=st.text(min_size=1, max_size=255).map(TaskId),
)


@given(cursors, st.text())
def test_a_token_opens_to_the_cursor_it_was_made_of(cursor: Cursor, context: str) -> None:
    tokens = PageTokens([KEY])

    assert tokens.open(tokens.seal(cursor, context=context), context=context) == cursor


def test_no_further_page_is_the_empty_token() -> None:
    tokens = PageTokens([KEY])

    assert tokens.seal(None, context="") == ""
    assert tokens.open("", context="") is None


def test_a_token_is_good_for_its_own_list_alone() -> None:
    tokens = PageTokens([KEY])
    token = tokens.seal(CURSOR, context="ada\nall")

    with pytest.raises(InvalidOptionError):
        tokens.open(token, context="eve\nall")


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_token_with_one_changed_byte_is_refused(place: int, change: int) -> None:
    tokens = PageTokens([KEY])
    token = tokens.seal(CURSOR, context="")
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= change
    changed = base64.urlsafe_b64encode(raw).decode()

    with pytest.raises(InvalidOptionError):
        tokens.open(changed, context="")


@given(st.text(min_size=1))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        PageTokens([KEY]).open(text, context="")


def test_a_token_of_an_older_key_is_good_until_the_key_is_removed() -> None:
    token = PageTokens([OTHER]).seal(CURSOR, context="")

    assert PageTokens([KEY, OTHER]).open(token, context="") == CURSOR
    with pytest.raises(InvalidOptionError):
        PageTokens([KEY]).open(token, context="")
