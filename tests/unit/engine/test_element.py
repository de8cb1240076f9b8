from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.transport.element import read_element
from tests.contract.broker.consuming import make_message


def _doorbell(**changes: Any) -> dict[str, Any]:
    return make_message(1, **{"content-type": CONTENT_TYPE, **changes})


def test_a_doorbell_is_read_as_it_lies_there() -> None:
    doorbell = _doorbell()

    assert read_element(json.dumps(doorbell).encode()) == doorbell


def test_what_a_doorbell_carries_beside_its_names_is_not_turned_into_kombus_types() -> None:
    typed = {"__type__": "decimal", "__value__": "x"}

    message = read_element(json.dumps(_doorbell(headers={"extra": typed})).encode())

    assert message is not None
    assert message["headers"]["extra"] == typed


@pytest.mark.parametrize(
    "broken",
    [
        # No name of a task, or none that a table can hold.
        _doorbell(headers={"id": 5}),
        _doorbell(headers={"id": "a\0b"}),
        _doorbell(headers={"task": ["add"]}),
        _doorbell(headers={"task": "\ud800"}),
        # Not delivered anywhere.
        _doorbell(properties={"delivery_info": []}),
        # In no form of a message.
        {CONTENT_TYPE: 1},
        [CONTENT_TYPE],
        CONTENT_TYPE,
    ],
)
def test_what_only_calls_itself_a_doorbell_is_no_message(broken: Any) -> None:
    assert read_element(json.dumps(broken).encode()) is None
