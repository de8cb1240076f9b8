from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.core.acceptance import Accepted, Begun, Together
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, NewTask, TaskId, Twin
from celeriac.service.reports import report_at_first
from celeriac.web.accepted import accepted_task, task_text
from tests.fakes import NOON, make_new_task


@pytest.mark.parametrize(
    ("like", "state"),
    [
        (make_new_task(submitted_by="ada", tags=("a", "grün")), TaskState.QUEUED),
        (make_new_task(id=TaskId("grün"), not_before=NOON + timedelta(1)), TaskState.SCHEDULED),
    ],
)
def test_a_twin_is_answered_as_if_it_were_alone(like: NewTask, state: TaskState) -> None:
    arguments = Arguments(codec=Codec.JSON, text="[[],{}]")
    together = Together(like, state, NOON)

    for task_id in ("one", 't/w"o'):
        begun = Begun(Twin(TaskId(task_id), arguments, like), together)
        answer = accepted_task(Accepted(outcomes=[begun]))

        assert bytes(answer.body).decode() == task_text([begun])
        assert report_at_first([begun]).task == begun.to_task()
        assert answer.headers["location"].startswith("/tasks/")
