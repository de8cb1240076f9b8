from __future__ import annotations

import pytest

from celeriac.core.user import Role
from celeriac.errors import NotPermittedError, TaskNameNotFoundError
from celeriac.service.callers import Caller
from celeriac.service.task_types import TaskTypeService
from tests.fakes import ListedCatalogue, make_caller, process_type

REPORT = process_type(name="report")
PROCESS = process_type()


@pytest.fixture
def task_types() -> TaskTypeService:
    return TaskTypeService(ListedCatalogue(REPORT, PROCESS))


@pytest.mark.parametrize("role", list(Role))
def test_everybody_who_is_known_reads_what_can_be_submitted(
    task_types: TaskTypeService, role: Role
) -> None:
    caller = make_caller("vera", role)

    assert task_types.list_task_types(by=caller) == (PROCESS, REPORT)
    assert task_types.get_task_type("report", by=caller) == REPORT


def test_a_caller_without_any_right_reads_nothing(task_types: TaskTypeService) -> None:
    nobody = Caller(name="nobody", scopes=frozenset())

    with pytest.raises(NotPermittedError):
        task_types.list_task_types(by=nobody)
    with pytest.raises(NotPermittedError):
        task_types.get_task_type("report", by=nobody)


def test_a_name_that_nobody_registered_is_not_found(task_types: TaskTypeService) -> None:
    assert not task_types.has("nothing")
    assert task_types.has("process")
    with pytest.raises(TaskNameNotFoundError):
        task_types.get_task_type("nothing", by=make_caller())
