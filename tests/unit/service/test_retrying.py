from __future__ import annotations

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
from celeriac.service.retrying import changed_arguments
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.tasks import TaskService
from tests.fakes import RecordingPublisher, make_caller, make_new_task

ADA = make_caller("ada")


@pytest.fixture
def ended(tasks: TaskService) -> Task:
    """A task of ada's that was cancelled."""
    options = SubmitOptions(queue="io", priority=8, max_attempts=4, tags=("a",))
    request = SubmitRequest(name="process", kwargs={"data": "x"}, options=options)
    task_id = tasks.submit(request, by=ADA).task.id
    return tasks.cancel_task(task_id, by=ADA).task


def test_a_task_runs_again_as_a_new_one_that_names_the_first(
    tasks: TaskService, ended: Task, publisher: RecordingPublisher
) -> None:
    again = tasks.retry_task(ended.id, by=ADA, changes={}).task

    assert again.id != ended.id
    assert again.retry_of == ended.id
    assert (again.name, again.arguments) == (ended.name, ended.arguments)
    assert (again.queue, again.priority, again.max_attempts, again.tags) == ("io", 8, 4, ("a",))
    assert again.state is TaskState.QUEUED
    assert publisher.rung[-1].task_id == again.id
    assert tasks.get_task(ended.id, by=ADA).task == ended


def test_some_arguments_may_be_others(tasks: TaskService, ended: Task) -> None:
    again = tasks.retry_task(ended.id, by=ADA, changes={"data": "y"}).task

    assert again.arguments.text == '[[], {"data": "y"}]'


def test_changed_arguments_are_checked_before_anything_is_stored(
    tasks: TaskService, ended: Task, ledger: Ledger
) -> None:
    with pytest.raises(InvalidArgumentsError):
        tasks.retry_task(ended.id, by=ADA, changes={"data": 7})

    assert len(ledger.tasks.list(TaskFilter(), after=None, limit=10).items) == 1


def test_a_task_that_goes_on_is_not_retried(tasks: TaskService) -> None:
    request = SubmitRequest(name="process", kwargs={"data": "x"})
    task_id = tasks.submit(request, by=ADA).task.id

    with pytest.raises(TaskNotFinalError) as caught:
        tasks.retry_task(task_id, by=ADA, changes={})

    assert caught.value.state == "queued"


def test_a_strangers_task_is_not_there_to_be_retried(tasks: TaskService, ended: Task) -> None:
    with pytest.raises(TaskNotFoundError):
        tasks.retry_task(ended.id, by=make_caller("bob"), changes={})


def test_an_operator_retries_in_their_own_name(tasks: TaskService, ended: Task) -> None:
    operator = make_caller("olga", Role.OPERATOR)

    assert tasks.retry_task(ended.id, by=operator, changes={}).task.submitted_by == "olga"


def test_a_viewer_retries_nothing(tasks: TaskService, ended: Task) -> None:
    with pytest.raises(NotPermittedError):
        tasks.retry_task(ended.id, by=make_caller("ada", Role.VIEWER), changes={})


def test_what_nobody_can_submit_nobody_can_retry(tasks: TaskService, ledger: Ledger) -> None:
    ledger.tasks.insert([make_new_task(name="celeriac.call_errbacks", submitted_by="ada")])
    ledger.tasks.request_cancel(TaskId("task-1"))

    with pytest.raises(TaskNameNotFoundError):
        tasks.retry_task(TaskId("task-1"), by=ADA, changes={})


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
