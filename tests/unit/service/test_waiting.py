from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.queue import Pause
from celeriac.core.state import TaskState
from celeriac.service.waiting import why_waiting
from tests.fakes import NOON, make_task, make_worker

LATER = NOON + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": TaskState.WAITING}, "upstream"),
        ({"state": TaskState.SCHEDULED}, "scheduled"),
        # it has run before: this is the pause between two attempts
        ({"state": TaskState.SCHEDULED, "attempt": 1}, "retry_backoff"),
        ({"state": TaskState.QUEUED, "queue": "nobody-serves-this"}, "no_worker_listens"),
        ({"state": TaskState.QUEUED}, "workers_busy"),
        # its time has only just come
        ({"state": TaskState.QUEUED, "not_before": LATER}, None),
        ({"state": TaskState.QUEUED, "created_at": LATER}, None),
        ({"state": TaskState.RUNNING}, None),
        ({"state": TaskState.COMPLETED}, None),
        ({"state": TaskState.FAILED}, None),
        ({"state": TaskState.CANCELLED}, None),
        ({"state": TaskState.EXPIRED}, None),
    ],
)
def test_a_task_says_what_it_waits_for(changes: dict[str, Any], reason: str | None) -> None:
    workers = [make_worker(queues=("default", "high_priority"))]

    assert why_waiting(make_task(**changes), workers=workers, now=LATER) == reason


def test_a_paused_queue_is_what_its_tasks_wait_for() -> None:
    paused = {"default": Pause(since=NOON, by="otto", reason="")}
    task = make_task(state=TaskState.QUEUED)

    assert why_waiting(task, workers=[], now=LATER, paused=paused) == "queue_paused"
