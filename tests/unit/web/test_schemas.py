from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Codec, Task, TaskError, TaskId
from celeriac.service.reports import TaskReport
from celeriac.service.waiting import WaitingBecause
from celeriac.web.schemas import TaskOut
from tests.fakes import NOON, make_task

_LATER = NOON + timedelta(seconds=1, microseconds=20)
_ERROR = TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="half a pair: \ud800")


@pytest.mark.parametrize(
    "task",
    [
        make_task(),
        make_task(tags=("blue", "grün"), submitted_by="ada", max_attempts=3, priority=9),
        make_task(not_before=_LATER, expires_at=_LATER, retry_of=TaskId("task-0")),
        make_task(state=TaskState.FAILED, error=_ERROR, started_at=NOON, finished_at=_LATER),
        make_task(state=TaskState.COMPLETED, result='{"text": "é", "list": [1.5, null]}'),
        # No number of the machine's.
        make_task(state=TaskState.COMPLETED, result=str(10**30)),
        make_task(
            state=TaskState.COMPLETED,
            result='{"__type__": "datetime", "__value__": "2030-01-31T12:00:00"}',
            result_codec=Codec.TYPED,
        ),
        make_task(state=TaskState.RUNNING, progress='{"state": "HALF", "meta": {"done": 0.5}}'),
    ],
)
def test_a_task_reads_the_same_whichever_way_it_is_written(task: Task) -> None:
    report = TaskReport(task=task, waiting_because=WaitingBecause.WORKERS_BUSY)

    assert TaskOut.text_of(report) == TaskOut.of(report).model_dump_json()
