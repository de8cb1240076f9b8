from __future__ import annotations

from celeriac.engine.pool.appetite import Appetite
from celeriac.engine.pool.job import Job
from tests.engines import make_claimed


class Slots:
    """A runner as far as an appetite asks it."""

    def __init__(self, slots: int, async_slots: int) -> None:
        self.slots = slots
        self.async_slots = async_slots


def make_job(*, is_async: bool = False) -> Job:
    claimed = make_claimed("add")
    return Job(claimed, None, soft_seconds=None, hard_seconds=None, is_async=is_async)


def appetite_for(slots: int, async_slots: int) -> Appetite:
    return Appetite(Slots(slots, async_slots))  # type: ignore[arg-type] # as far as it asks


def test_plain_tasks_are_claimed_for_every_slot_and_a_few_ahead() -> None:
    appetite = appetite_for(2, 100)

    assert appetite.room(is_stuck=False)[0] == 4
    appetite.took(make_job())
    assert appetite.room(is_stuck=False)[0] == 3
    assert appetite.room(is_stuck=True)[0] == 1


def test_async_tasks_take_no_room_from_plain_ones() -> None:
    appetite = appetite_for(2, 100)

    for _ in range(100):
        appetite.took(make_job(is_async=True))

    assert appetite.room(is_stuck=False) == (4, 0)
    appetite.gave(make_job(is_async=True))
    assert appetite.room(is_stuck=False) == (4, 1)


def test_a_long_async_task_keeps_nobody_from_claiming_plain_ones_ahead() -> None:
    appetite = appetite_for(2, 100)

    appetite.saw(make_job(is_async=True), 60.0)

    assert appetite.room(is_stuck=False)[0] == 4


def test_a_long_plain_task_does() -> None:
    appetite = appetite_for(2, 100)

    appetite.saw(make_job(), 60.0)

    assert appetite.room(is_stuck=False)[0] == 2


def test_the_window_grows_with_the_async_tasks_that_came_and_no_further_than_their_slots() -> None:
    appetite = appetite_for(1, 100)
    plain = appetite.prefetch(is_stuck=False)
    windows = []

    for _ in range(100):
        appetite.took(make_job(is_async=True))
        windows.append(appetite.prefetch(is_stuck=False) - plain)

    # Four times as many as there are and ten; then what there is room for, and a tenth ahead.
    assert windows[:2] == [14, 18]
    assert max(windows) <= 100
    assert windows[-1] == 10


def test_a_worker_without_async_tasks_fetches_none_for_them() -> None:
    assert appetite_for(2, 100).prefetch(is_stuck=False) == appetite_for(2, 0).prefetch(
        is_stuck=False
    )
