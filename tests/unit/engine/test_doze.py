from __future__ import annotations

import pytest

from celeriac.engine.pool.doze import Doze

NOW = 1000.0


@pytest.mark.parametrize(
    ("due_in", "seconds"),
    [
        # What is to be written now waits for nothing.
        (0.0, 0.0),
        (-0.5, 0.0),
        # Not longer than what gathers may wait.
        (0.001, 0.001),
        # And never so long that a child could run dry.
        (0.25, 0.002),
    ],
)
def test_a_worker_sleeps_while_outcomes_gather(due_in: float, seconds: float) -> None:
    doze = Doze()

    slept = doze.seconds(NOW, due_at=NOW + due_in)

    assert slept == pytest.approx(seconds)


def test_a_worker_whose_tasks_ask_for_something_stays_awake_for_a_while() -> None:
    doze = Doze()

    doze.disturbed(NOW)

    assert doze.seconds(NOW + 0.04, due_at=NOW + 1) == 0
    assert doze.seconds(NOW + 0.06, due_at=NOW + 1) > 0
