from __future__ import annotations

import pytest
from starlette.requests import Request

from celeriac.web.fast_lane import LaneRequest

_RAW = [(b"accept", b"a"), (b"x-twice", b"1"), (b"x-twice", b"\xe9")]


@pytest.mark.parametrize("name", ["accept", "Accept", "x-twice", "X-Twice", "x-none"])
def test_headers_are_found_as_they_always_are(name: str) -> None:
    scope = {"type": "http", "headers": _RAW}
    ours, plain = LaneRequest(scope).headers, Request(scope).headers

    assert ours.getlist(name) == plain.getlist(name)
    assert ours.get(name, "not there") == plain.get(name, "not there")
    assert (name in ours) is (name in plain)
    assert ours.items() == plain.items()


def test_a_header_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        LaneRequest({"type": "http", "headers": _RAW}).headers["x-none"]
