from __future__ import annotations

import pytest

from celeriac.web.preferences import applied_wait, wait_of


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["wait=0"], 0),
        (["wait=60"], 60),
        # more than is given is the most
        (["wait=61"], 60),
        (["wait=999999999"], 60),
        (["Wait = 5"], 5),
        (['wait="5"'], 5),
        (["wait=5; foo=bar"], 5),
        (["respond-async, wait=7"], 7),
        (["respond-async", "wait=7"], 7),
        # the first one counts
        (["wait=3, wait=9"], 3),
        # what cannot be read is no preference
        (["wait"], 0),
        (["wait="], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=ten"], 0),
        (["wait=9999999999"], 0),
        (["await=5"], 0),
        (["return=minimal"], 0),
    ],
)
def test_a_preference_to_wait_is_read(headers: list[str], seconds: int) -> None:
    assert wait_of(headers) == seconds


def test_a_wait_is_said_as_it_was_asked_for() -> None:
    assert applied_wait(5) == "wait=5"
