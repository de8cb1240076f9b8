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
        # listened for by one that knows it not, and known to one that listens elsewhere
        ({"state": TaskState.QUEUED, "name": "new"}, "no_worker_knows_it"),
        ({"state": TaskState.QUEUED, "name": "new", "created_at": LATER}, "no_worker_knows_it"),
        ({"state": TaskState.QUEUED, "name": "celery.chord_unlock"}, "workers_busy"),
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
    knows = frozenset({make_task().name})
    workers = [
        make_worker(queues=("default", "high_priority"), task_names=knows),
        make_worker(queues=("other",), task_names=frozenset({"new"})),
    ]

    assert why_waiting(make_task(**changes), workers=workers, now=LATER) == reason


def test_a_paused_queue_is_what_its_tasks_wait_for() -> None:
    paused = {"default": Pause(since=NOON, by="otto", reason="")}
    task = make_task(state=TaskState.QUEUED)

    assert why_waiting(task, workers=[], now=LATER, paused=paused) == "queue_paused"


def test_a_worker_that_cannot_tell_may_know_every_task() -> None:
    workers = [make_worker(task_names=frozenset()), make_worker(task_names=None)]
    task = make_task(state=TaskState.QUEUED)

    assert why_waiting(task, workers=workers, now=LATER) == "workers_busy"
