from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, Task, TaskId
from celeriac.core.user import Role
from celeriac.errors import (
    InvalidArgumentsError,
    InvalidOptionError,
    NotPermittedError,
    TaskNameNotFoundError,
    TaskNotFinalError,
    TaskNotFoundError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.callers import Caller
from celeriac.service.reports import report_at_first
from celeriac.service.retrying import changed_arguments
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.submitting import SubmitService
from celeriac.service.tasks import TaskService
from tests.fakes import RecordingPublisher, make_caller, make_new_task

ADA = make_caller("ada")


def run_again(
    submitting: SubmitService, task: Task, *, by: Caller = ADA, **changes: object
) -> Task:
    accepted = submitting.retry_task(task.id, by=by, changes=changes)
    return report_at_first(accepted.outcomes).task


@pytest.fixture
def ended(tasks: TaskService, submitting: SubmitService) -> Task:
    """A task of ada's that was cancelled."""
    options = SubmitOptions(
        queue="io", priority=8, max_attempts=4, timeout=timedelta(seconds=9), tags=("a",)
    )
    request = SubmitRequest(name="process", kwargs={"data": "x"}, options=options)
    task_id = submitting.submit(request, by=ADA).task.id
    return tasks.cancel_task(task_id, by=ADA).task


def test_a_task_runs_again_as_a_new_one_that_names_the_first(
    tasks: TaskService, submitting: SubmitService, ended: Task, publisher: RecordingPublisher
) -> None:
    again = run_again(submitting, ended)

    assert again.id != ended.id
    assert again.retry_of == ended.id
    assert (again.name, again.arguments) == (ended.name, ended.arguments)
    assert (again.queue, again.priority, again.max_attempts, again.tags) == ("io", 8, 4, ("a",))
    assert again.timeout_seconds == 9
    assert again.state is TaskState.QUEUED
    assert publisher.wait_for(2)[-1] == again.id
    assert tasks.get_task(ended.id, by=ADA).task == ended


@pytest.mark.parametrize(
    "facts", [{"at_most_once": True}, {"timeout_seconds": 2.5}, {"soft_timeout_seconds": 1.5}]
)
def test_what_was_promised_of_a_task_is_promised_again(
    submitting: SubmitService, ledger: Ledger, facts: dict[str, object]
) -> None:
    ledger.tasks.insert([make_new_task(submitted_by="ada", **facts)])
    task = ledger.tasks.request_cancel("task-1")

    again = run_again(submitting, task)

    for name, value in facts.items():
        assert getattr(ledger.tasks.get(again.id), name) == value


def test_some_arguments_may_be_others(
    tasks: TaskService, submitting: SubmitService, ended: Task
) -> None:
    again = run_again(submitting, ended, data="y")

    assert again.arguments.text == '[[], {"data": "y"}]'


def test_changed_arguments_are_checked_before_anything_is_stored(
    tasks: TaskService, submitting: SubmitService, ended: Task, ledger: Ledger
) -> None:
    with pytest.raises(InvalidArgumentsError):
        submitting.retry_task(ended.id, by=ADA, changes={"data": 7})

    assert len(ledger.tasks.list(TaskFilter(), after=None, limit=10).items) == 1


def test_a_task_that_goes_on_is_not_retried(tasks: TaskService, submitting: SubmitService) -> None:
    request = SubmitRequest(name="process", kwargs={"data": "x"})
    task_id = submitting.submit(request, by=ADA).task.id

    with pytest.raises(TaskNotFinalError) as caught:
        submitting.retry_task(task_id, by=ADA, changes={})

    assert caught.value.state == "queued"


def test_a_strangers_task_is_not_there_to_be_retried(
    tasks: TaskService, submitting: SubmitService, ended: Task
) -> None:
    with pytest.raises(TaskNotFoundError):
        submitting.retry_task(ended.id, by=make_caller("bob"), changes={})


def test_an_operator_retries_in_their_own_name(
    tasks: TaskService, submitting: SubmitService, ended: Task
) -> None:
    operator = make_caller("olga", Role.OPERATOR)

    assert run_again(submitting, ended, by=operator).submitted_by == "olga"


def test_a_viewer_retries_nothing(
    tasks: TaskService, submitting: SubmitService, ended: Task
) -> None:
    with pytest.raises(NotPermittedError):
        submitting.retry_task(ended.id, by=make_caller("ada", Role.VIEWER), changes={})


def test_what_nobody_can_submit_nobody_can_retry(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    ledger.tasks.insert([make_new_task(name="celeriac.call_errbacks", submitted_by="ada")])
    ledger.tasks.request_cancel(TaskId("task-1"))

    with pytest.raises(TaskNameNotFoundError):
        submitting.retry_task(TaskId("task-1"), by=ADA, changes={})


@pytest.mark.parametrize(
    "arguments",
    [
        Arguments(codec=Codec.JSON, text='[[1], {"b": 2}]'),
        Arguments(codec=Codec.TYPED, text='[[], {"b": 2}]'),
    ],
)
def test_arguments_that_came_otherwise_cannot_be_changed_by_name(arguments: Arguments) -> None:
    with pytest.raises(InvalidOptionError):
        changed_arguments(arguments, {"b": 3})
