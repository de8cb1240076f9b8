from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.engine.pool.pacer import Pacer

RUNTIMES = st.lists(st.floats(min_value=0, max_value=3600), max_size=50)


def _pacer(*runtimes: float) -> Pacer:
    pacer = Pacer()
    for each in runtimes:
        pacer.saw(each)
    return pacer


@pytest.mark.parametrize(
    ("runtime_seconds", "ahead"),
    [
        # No-ops: as many as may lie in one worker at all.
        (0.0, 600),
        # A millisecond: 100 ms of four slots.
        (0.001, 400),
        (0.01, 40),
        # A few tenths: one, so that the trip to the ledger is not waited for.
        (0.3, 1),
        # Long: none, another worker may be idle.
        (0.6, 0),
        (60.0, 0),
    ],
)
def test_the_pacer_holds_a_tenth_of_a_second_of_work_ahead(
    runtime_seconds: float, ahead: int
) -> None:
    assert _pacer(runtime_seconds).ahead(4) == ahead


def test_a_pacer_that_has_seen_nothing_holds_one_for_each_slot_and_hands_one() -> None:
    pacer = _pacer()

    assert pacer.ahead(3) == 3
    assert pacer.handed() == 1


def test_one_long_task_counts_at_once() -> None:
    pacer = _pacer(*[0.001] * 100)

    pacer.saw(10.0)

    assert pacer.ahead(4) == 0
    assert pacer.handed() == 1


def test_short_tasks_bring_the_pace_back() -> None:
    pacer = _pacer(10.0, *[0.001] * 100)

    assert pacer.ahead(4) > 4


def test_a_child_is_handed_many_short_tasks_at_once() -> None:
    assert _pacer(0.00001).handed() == 256
    assert _pacer(0.005).handed() == 4
    assert _pacer(0.1).handed() == 1


@given(RUNTIMES, st.integers(min_value=1, max_value=512))
def test_a_pacer_never_leaves_its_bounds(runtimes: list[float], slots: int) -> None:
    pacer = _pacer(*runtimes)

    assert 0 <= pacer.ahead(slots) <= max(600, slots)
    assert 1 <= pacer.handed() <= 256


@given(RUNTIMES, st.integers(min_value=1, max_value=100))
def test_more_slots_never_hold_less_ahead(runtimes: list[float], slots: int) -> None:
    pacer = _pacer(*runtimes)

    assert pacer.ahead(slots + 1) >= pacer.ahead(slots)
