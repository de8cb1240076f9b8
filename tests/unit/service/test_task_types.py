from __future__ import annotations

import pytest

from celeriac.core.user import Role
from celeriac.engine.modules import ImportProblem
from celeriac.errors import NotPermittedError, TaskNameNotFoundError
from celeriac.service.callers import Caller, Scope
from celeriac.service.task_types import TaskTypeService
from tests.fakes import ListedCatalogue, make_caller, process_type

REPORT = process_type(name="report")
PROCESS = process_type()
BROKEN = ImportProblem(
    module="tasks", file="/home/ada/tasks.py", line=3, message="SyntaxError: near canary"
)


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


def test_a_name_that_was_meant_is_told_to_those_for_whom_it_is_there(
    task_types: TaskTypeService,
) -> None:
    reader = Caller(name="ada", scopes=frozenset({Scope.READ}))
    other = Caller(name="ada", scopes=frozenset({Scope.READ}), task_patterns=("rep*",))
    # One who may submit and not read knows the names by heart.
    blind = Caller(name="ada", scopes=frozenset({Scope.SUBMIT}))

    with pytest.raises(TaskNameNotFoundError) as caught:
        task_types.get_task_type("procss", by=reader)

    assert caught.value.fix.startswith("did you mean process? GET /task-types lists")
    assert task_types.no_such_name("procss", by=other).fix == TaskNameNotFoundError.fix
    assert task_types.no_such_name("procss", by=blind).fix == TaskNameNotFoundError.fix


def test_who_may_submit_reads_the_schema_of_what_there_is_for_them(
    task_types: TaskTypeService,
) -> None:
    caller = Caller(name="ada", scopes=frozenset({Scope.SUBMIT}), task_patterns=("rep*",))

    assert task_types.get_schema("report", by=caller) == REPORT.schema
    with pytest.raises(TaskNameNotFoundError):
        task_types.get_schema("process", by=caller)
    with pytest.raises(NotPermittedError):
        task_types.get_schema("report", by=make_caller("vera", Role.VIEWER))


def test_a_key_for_other_names_reads_no_task_type(task_types: TaskTypeService) -> None:
    caller = Caller(name="ada", scopes=frozenset({Scope.READ}), task_patterns=("rep*",))

    with pytest.raises(TaskNameNotFoundError):
        task_types.get_task_type("process", by=caller)


def test_the_whole_service_is_described_with_all_of_them(task_types: TaskTypeService) -> None:
    assert task_types.all() == (PROCESS, REPORT)


def test_a_name_that_is_not_there_is_told_with_what_could_not_be_imported() -> None:
    catalogue = ListedCatalogue(PROCESS)
    catalogue.unloaded = (BROKEN,)
    service = TaskTypeService(catalogue)

    with pytest.raises(TaskNameNotFoundError) as missing:
        service.get_task_type("hello.greet", by=make_caller("ada"))

    said = str(missing.value)
    assert "the task module tasks could not be loaded: SyntaxError in tasks.py, line 3" in said
    assert "canary" not in said
    assert "/home" not in said
    assert missing.value.fix.startswith("mend it and save")


@pytest.mark.parametrize(("role", "is_whole"), [(Role.SUBMITTER, False), (Role.OPERATOR, True)])
def test_only_who_sees_everything_reads_where_and_why_a_module_could_not_be_imported(
    role: Role, *, is_whole: bool
) -> None:
    catalogue = ListedCatalogue(PROCESS)
    catalogue.unloaded = (BROKEN,)

    (told,) = TaskTypeService(catalogue).list_unloaded(by=make_caller("ada", role))

    assert ("canary" in told) is is_whole
    assert ("/home/ada/tasks.py" in told) is is_whole


def test_a_sample_that_was_turned_off_is_told_so() -> None:
    without, with_samples = TaskTypeService(ListedCatalogue(REPORT)), ListedCatalogue(PROCESS)
    asked = "text.wordcount"

    off = without.no_such_name(asked, by=make_caller("vera"))
    on = TaskTypeService(with_samples).no_such_name(asked, by=make_caller("vera"))

    assert "the samples are off (CELERIAC_SAMPLES)" in off.fix
    assert "samples" not in on.fix
