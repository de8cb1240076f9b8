from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter

from celeriac.client.attachments import to_json


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        date(2026, 12, 24),
        datetime(2026, 12, 24, 18, 30, tzinfo=UTC),
        time(18, 30, 1, 500),
        timedelta(minutes=5),
        timedelta(days=-2, microseconds=1),
        timedelta(microseconds=3),
        Decimal("12.30"),
        UUID("01a20a6e-feb6-7103-a2c1-79618e058bad"),
        Colour.RED,
    ],
)
def test_what_json_has_no_word_for_is_read_back_by_its_type(value: Any) -> None:
    sent = to_json({"value": value, "inside": [{"it": value}]})

    said = json.loads(sent)
    assert said["inside"] == [{"it": said["value"]}]
    assert TypeAdapter(type(value)).validate_json(json.dumps(said["value"]), strict=True) == value


def test_a_set_is_sent_as_a_list() -> None:
    assert to_json({"ids": {7}}) == b'{"ids": [7]}'


@pytest.mark.parametrize("value", [object(), b"bytes", io.StringIO("text")])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        to_json({"value": value})
