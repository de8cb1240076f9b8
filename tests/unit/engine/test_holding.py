from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.engine.pool.holding import Holding
from celeriac.engine.pool.job import Job
from tests.engines import Request, make_claimed


class Runner:
    """Two slots, and room for so many jobs."""

    slots = 2
    async_slots = 0

    def __init__(self, room: int) -> None:
        self._room = room

    def room(self) -> int:
        return self._room

    def async_room(self, wanted: int) -> int:
        return 0

    def hand(self, jobs: Iterable[Job]) -> None:
        self._room -= len(list(jobs))


@pytest.mark.parametrize(
    ("room", "is_ahead"),
    [
        # Solo and threads: one for each slot, and the next one after each of them.
        (2, False),
        # Processes: their children go on by themselves.
        (3, True),
    ],
)
def test_a_runner_is_ahead_that_has_more_than_it_runs_at_once(room: int, *, is_ahead: bool) -> None:
    runner: Any = Runner(room)
    holding = Holding(runner, lambda: datetime.now(UTC))
    for number in range(5):
        claimed = make_claimed("add", task_id=f"task-{number}")
        holding.took(Job(claimed, Request(claimed.id), soft_seconds=None, hard_seconds=None))

    holding.hand()

    assert holding.is_ahead is is_ahead
