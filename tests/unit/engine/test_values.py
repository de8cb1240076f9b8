from __future__ import annotations

import json
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.engine.values import is_plain_json, to_message

pytestmark = pytest.mark.slow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@given(JSON)
def test_what_json_can_say_is_plain_and_travels_as_it_is(value: Any) -> None:
    assert is_plain_json(value)
    assert to_message(value) == value


@pytest.mark.parametrize(
    "value",
    [
        # Not what reading JSON gives, although JSON could be written from them.
        (1, 2),
        {1: "a"},
        [timedelta(1)],
        {"a": [b""]},
    ],
)
def test_what_json_cannot_give_is_not_plain(value: Any) -> None:
    assert not is_plain_json(value)


def test_durations_and_paths_travel_as_text() -> None:
    message = to_message([timedelta(minutes=1), PurePosixPath("/a")])

    assert json.dumps(message) == '["PT1M", "/a"]'
