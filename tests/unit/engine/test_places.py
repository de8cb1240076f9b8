from __future__ import annotations

from typing import Any

import pytest

from celeriac.engine.pool.places import Places


class Child:
    """A child with so many jobs, and room for so many more."""

    def __init__(self, name: str, jobs: int, room: int) -> None:
        self.name = name
        self.jobs = dict.fromkeys(range(jobs))
        self._room = room

    def room(self, _: int) -> int:
        return self._room


@pytest.mark.parametrize(
    ("children", "order"),
    [
        # By turns where both have as many.
        ([("a", 0, 3), ("b", 0, 3)], "ababab"),
        # First where the fewest wait.
        ([("a", 2, 9), ("b", 0, 9)], "bbabab"),
        # One without room, whatever it has, only after those that have some.
        ([("a", 0, 0), ("b", 5, 2)], "bba"),
        ([("a", 1, 1), ("b", 1, 2)], "abb"),
    ],
)
def test_the_next_job_goes_to_the_child_with_the_fewest(children: Any, order: str) -> None:
    made: list[Any] = [Child(*each) for each in children]
    places = Places(made, 9)

    taken: list[Any] = [places.take() for _ in order]

    assert "".join(each.name for each in taken) == order
