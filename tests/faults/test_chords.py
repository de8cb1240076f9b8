"""Chords whose workers die while they run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import chord

from celeriac.core.state import TaskState
from tests.servers.processes import wait_until
from tests.stage import Stage

PARTS = 10_000


@pytest.mark.timeout(600)
def test_chord_of_ten_thousand_parts_runs_its_body_once_while_its_workers_are_killed(
    stage_on_either_ledger: Stage, key: str
) -> None:
    stage = stage_on_either_ledger
    # Two, so that parts of one chord end in transactions of both at the same time.
    other = stage.add_worker("other")
    header = [stage.client.echo.s(number) for number in range(PARTS)]
    result = chord(header)(stage.client.collect.s(key=key))
    stage.worker.start_ready()
    other.start_ready()

    def is_below(most: int) -> Callable[[], bool]:
        return lambda: stage.ledger.sweeps.queue_counts().get("default", 0) < most

    for most, worker in ((8000, stage.worker), (5000, other), (2000, stage.worker)):
        wait_until(is_below(most), f"fewer than {most} are left", seconds=90)
        worker.kill()
        worker.start_ready()

    task = stage.wait_for_state(result.id, TaskState.COMPLETED, seconds=180)
    stage.wait_until_all_end()
    assert len(stage.effects.of(key)) == 1
    assert task.attempt == 1
    assert result.get(timeout=30) == list(range(PARTS))
