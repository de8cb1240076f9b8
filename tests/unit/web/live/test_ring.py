from __future__ import annotations

import pytest

from celeriac.core.task import TaskId
from celeriac.web.live.ring import KEPT, Ring

ONE, TWO = TaskId("one"), TaskId("two")


def test_moments_come_in_their_order() -> None:
    ring = Ring()
    ring.add({ONE: None}, is_partial=False, at=0)
    ring.add({TWO: None}, is_partial=True, at=1)

    assert [moment.number for moment in ring.after(0)] == [1, 2]
    assert [list(moment.tasks) for moment in ring.after(1)] == [[TWO]]
    assert [moment.is_partial for moment in ring.after(1)] == [True]
    assert list(ring.after(ring.last)) == []


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    ring = Ring()
    ring.add({ONE: None}, is_partial=False, at=0)
    ring.add({TWO: None}, is_partial=False, at=KEPT.total_seconds())
    assert len(list(ring.after(0))) == 2

    ring.add({}, is_partial=False, at=KEPT.total_seconds() + 0.1)

    assert [moment.number for moment in ring.after(0)] == [2, 3]


@pytest.mark.parametrize(
    ("number", "is_held"),
    [
        # It would have to hold the first moment, which is gone.
        (0, False),
        (1, True),
        (3, True),
        # These never were.
        (4, False),
        (-1, False),
    ],
)
def test_it_knows_from_where_nothing_is_missing(number: int, *, is_held: bool) -> None:
    ring = Ring()
    for at in (0, 61, 62):
        ring.add({ONE: None}, is_partial=False, at=at)

    assert ring.holds_all_after(number) is is_held


def test_before_the_first_moment_nothing_is_missing() -> None:
    assert Ring().holds_all_after(0)
    assert not Ring().holds_all_after(1)
