from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.client.pauses import pause_before_look

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("look", "asked", "left", "pause"),
    [
        # It begins short.
        (1, None, None, timedelta(milliseconds=50)),
        # It grows.
        (3, None, None, timedelta(milliseconds=112.5)),
        # It does not grow for ever.
        (1000, None, None, 5 * SECOND),
        # The service may ask for more, but not for less.
        (1, 3 * SECOND, None, 3 * SECOND),
        (1000, SECOND, None, 5 * SECOND),
        # Nobody sleeps past the end of the caller's time.
        (1000, 9 * SECOND, 2 * SECOND, 2 * SECOND),
        (1, None, -SECOND, timedelta(0)),
    ],
)
def test_the_pause_grows_within_what_both_sides_ask_for(
    look: int, asked: timedelta | None, left: timedelta | None, pause: timedelta
) -> None:
    assert pause_before_look(look, asked=asked, left=left) == pause


@pytest.mark.parametrize(
    ("waited", "pause"),
    [
        (timedelta(seconds=0.1), timedelta(milliseconds=50)),
        (SECOND, timedelta(milliseconds=300)),
        (timedelta(minutes=5), SECOND),
    ],
)
def test_what_has_gone_on_for_long_is_looked_at_seldom_however_often_it_changes(
    waited: timedelta, pause: timedelta
) -> None:
    assert pause_before_look(1, waited=waited) == pause
