from __future__ import annotations

import pytest

from celeriac.core.state import TaskState
from celeriac.errors import TaskAlreadyFinalError
from tests.contract.ledger.desk import Desk, new, waiting


@pytest.mark.parametrize("state", [TaskState.QUEUED, TaskState.SCHEDULED, TaskState.WAITING])
def test_a_task_nobody_runs_is_cancelled_at_once(desk: Desk, state: TaskState) -> None:
    desk.put(new("up"))
    task = {
        TaskState.QUEUED: new("a"),
        TaskState.SCHEDULED: new("a", not_before=desk.soon(hours=1)),
        TaskState.WAITING: waiting("a", "up"),
    }[state]
    desk.put(task)

    cancelled = desk.ledger.tasks.request_cancel("a")

    assert cancelled == desk.get("a")
    assert (cancelled.state, cancelled.finished_at) == (TaskState.CANCELLED, desk.clock())
    assert cancelled.upstream_id is None


def test_a_running_task_is_asked_to_stop_once(desk: Desk) -> None:
    desk.begin("a")

    first = desk.ledger.tasks.request_cancel("a")
    desk.later(seconds=1)
    second = desk.ledger.tasks.request_cancel("a")

    assert (first.state, first.version) == (TaskState.RUNNING, 3)
    assert first.cancel_requested_at is not None
    assert second == first


def test_a_task_that_has_ended_cannot_be_cancelled(desk: Desk) -> None:
    desk.complete(desk.begin("a"))

    with pytest.raises(TaskAlreadyFinalError) as caught:
        desk.ledger.tasks.request_cancel("a")

    assert caught.value.state == "completed"
    assert desk.get("a").version == 3
