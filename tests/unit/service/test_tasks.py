from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from celeriac.core.file_reference import FileId, FileReference
from celeriac.core.outcome import Ending, Outcome
from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from celeriac.core.user import Role
from celeriac.errors import (
    FileNotKeptError,
    InvalidOptionError,
    NoResultError,
    NotPermittedError,
    TaskAlreadyFinalError,
    TaskNotFoundError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.submitting import SubmitService
from celeriac.service.tasks import TaskService
from tests.fakes import (
    NOON,
    Clock,
    RecordingWorkers,
    make_caller,
    make_new_worker,
)

ADA = make_caller("ada")
EVE = make_caller("eve")
OPERATOR = make_caller("otto", Role.OPERATOR)
VIEWER = make_caller("vera", Role.VIEWER)


def wish(name: str = "process", data: object = "x", **options: Any) -> SubmitRequest:
    return SubmitRequest(name=name, kwargs={"data": data}, options=SubmitOptions(**options))


def run(ledger: Ledger, task: Task) -> None:
    ledger.leases.join(make_new_worker(queues=(task.queue,)))
    claimed = ledger.leases.exchange("worker-1", outcomes=[], wanted=[task.id], queues=[task.queue])
    assert [each.id for each in claimed.claimed] == [task.id]


def test_a_viewer_cancels_nothing(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    with pytest.raises(NotPermittedError):
        tasks.cancel_task(task.id, by=VIEWER)

    assert ledger.tasks.get(task.id).state is TaskState.QUEUED


def test_a_submitter_reads_their_own_task_and_an_operator_everybodys(
    tasks: TaskService, submitting: SubmitService
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    assert tasks.get_task(task.id, by=ADA).task == task
    assert tasks.get_task(task.id, by=OPERATOR).task == task


@pytest.mark.parametrize("stranger", [EVE, VIEWER])
def test_a_strangers_task_is_the_same_as_none(
    tasks: TaskService, submitting: SubmitService, stranger: Any
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    with pytest.raises(TaskNotFoundError) as foreign:
        tasks.get_task(task.id, by=stranger)
    with pytest.raises(TaskNotFoundError) as missing:
        tasks.get_task(TaskId("0" * 36), by=stranger)

    assert str(foreign.value).replace(task.id, "ID") == str(missing.value).replace("0" * 36, "ID")


def test_an_id_that_no_database_takes_is_no_task(
    tasks: TaskService, submitting: SubmitService
) -> None:
    with pytest.raises(TaskNotFoundError):
        tasks.get_task(TaskId("a\0b"), by=OPERATOR)


def test_a_queued_task_tells_why_it_does_not_run(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger, clock: Clock
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    alone = tasks.get_task(task.id, by=ADA)
    ledger.leases.join(make_new_worker(queues=("default",)))
    clock.advance(seconds=5)
    in_line = tasks.get_task(task.id, by=ADA)

    assert alone.waiting_because == "no_worker_listens"
    assert in_line.waiting_because == "workers_busy"


def test_only_a_task_that_waits_for_a_while_and_is_read_alone_has_others_counted(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger, clock: Clock
) -> None:
    ledger.leases.join(make_new_worker(queues=("default",)))
    submitting.submit(wish(), by=OPERATOR)
    clock.advance(seconds=1)
    task = submitting.submit(wish(), by=ADA).task

    at_first = tasks.get_task(task.id, by=ADA)
    clock.advance(seconds=5)
    later = tasks.get_task(task.id, by=ADA)

    assert (at_first.queued_before, later.queued_before) == (None, 1)
    (listed,) = tasks.list_tasks(TaskFilter(), by=ADA).items
    assert listed.queued_before is None


def test_a_list_holds_ones_own_tasks_newest_first_page_by_page(
    tasks: TaskService, submitting: SubmitService, clock: Clock
) -> None:
    mine = []
    for _ in range(5):
        clock.advance(seconds=1)
        mine.append(submitting.submit(wish(), by=ADA).task.id)
        submitting.submit(wish(), by=EVE)

    first = tasks.list_tasks(TaskFilter(), by=ADA, limit=3)
    second = tasks.list_tasks(TaskFilter(), by=ADA, after=first.next, limit=3)

    listed = [report.task.id for report in (*first.items, *second.items)]
    assert listed == mine[::-1]
    assert second.next is None


def test_a_filter_cannot_name_somebody_else(tasks: TaskService, submitting: SubmitService) -> None:
    submitting.submit(wish(), by=ADA)

    page = tasks.list_tasks(TaskFilter(submitted_by="ada"), by=EVE)

    assert page.items == ()


def test_an_operator_lists_everybodys_tasks(tasks: TaskService, submitting: SubmitService) -> None:
    submitting.submit(wish(), by=ADA)
    submitting.submit(wish(), by=EVE)

    page = tasks.list_tasks(TaskFilter(), by=OPERATOR)

    assert {report.task.submitted_by for report in page.items} == {"ada", "eve"}


def test_a_glance_at_what_others_have_submitted_is_an_operators(
    tasks: TaskService, submitting: SubmitService
) -> None:
    submitting.submit(wish(), by=ADA)

    own, operators = (tasks.glance_at_newest("ada", by=who) for who in (ADA, OPERATOR))

    assert own == operators
    assert [(each.name, each.state) for each in own] == [("process", TaskState.QUEUED)]
    with pytest.raises(NotPermittedError):
        tasks.glance_at_newest("ada", by=EVE)
    with pytest.raises(NotPermittedError):
        tasks.glance_at_newest("ada", by=replace(ADA, scopes=frozenset()))


@pytest.mark.parametrize("limit", [0, 201])
def test_a_page_has_its_bounds(tasks: TaskService, submitting: SubmitService, limit: int) -> None:
    with pytest.raises(InvalidOptionError):
        tasks.list_tasks(TaskFilter(), by=ADA, limit=limit)


@pytest.mark.parametrize("who", [ADA, OPERATOR])
def test_a_queued_task_is_cancelled_at_once(
    tasks: TaskService,
    submitting: SubmitService,
    ledger: Ledger,
    workers: RecordingWorkers,
    who: Any,
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    tasks.cancel_task(task.id, by=who)

    assert ledger.tasks.get(task.id).state is TaskState.CANCELLED
    assert workers.interrupted == []
    assert workers.ended == [task.id]


def test_a_running_task_is_asked_to_stop(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger, workers: RecordingWorkers
) -> None:
    task = submitting.submit(wish(), by=ADA).task
    run(ledger, task)

    report = tasks.cancel_task(task.id, by=ADA)

    assert report.task.state is TaskState.RUNNING
    assert report.task.cancel_requested_at == NOON
    assert workers.interrupted == [task.id]


def test_a_task_that_has_ended_is_not_cancelled(
    tasks: TaskService, submitting: SubmitService
) -> None:
    task = submitting.submit(wish(), by=ADA).task
    tasks.cancel_task(task.id, by=ADA)

    with pytest.raises(TaskAlreadyFinalError):
        tasks.cancel_task(task.id, by=ADA)


def test_a_strangers_task_is_not_cancelled(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    with pytest.raises(TaskNotFoundError):
        tasks.cancel_task(task.id, by=EVE)

    assert ledger.tasks.get(task.id).state is TaskState.QUEUED


def test_of_many_tasks_one_finds_those_one_sees(
    tasks: TaskService, submitting: SubmitService
) -> None:
    own = submitting.submit(wish(), by=ADA).task
    others = submitting.submit(wish(), by=EVE).task
    asked = [own.id, others.id, TaskId("none"), TaskId("\0")]

    assert list(tasks.find_tasks(asked, by=ADA)) == [own.id]
    assert set(tasks.find_tasks(asked, by=OPERATOR)) == {own.id, others.id}
    assert tasks.find_tasks([], by=ADA) == {}


def test_who_looks_for_many_looks_at_everybodys_tasks(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    own = submitting.submit(wish(), by=ADA).task
    others = submitting.submit(wish(queue="slow"), by=EVE).task
    run(ledger, others)

    looked = tasks.look_at([own.id, others.id, TaskId("none")])

    assert {each: looked[each].task.state.value for each in looked} == {
        own.id: "queued",
        others.id: "running",
    }
    assert tasks.count_unfinished() == {("default", "queued"): 1, ("slow", "running"): 1}


def test_who_watches_is_told_of_a_cancelled_task(
    tasks: TaskService, submitting: SubmitService, workers: RecordingWorkers
) -> None:
    task = submitting.submit(wish(), by=ADA).task

    tasks.cancel_task(task.id, by=ADA)

    assert workers.changed == [task.id]


def complete(ledger: Ledger, task: Task, result: str) -> None:
    ledger.leases.join(make_new_worker(queues=(task.queue,)))
    (claimed,) = ledger.leases.exchange(
        "worker-1", outcomes=[], wanted=[task.id], queues=[task.queue]
    ).claimed
    outcome = Outcome(
        task_id=task.id,
        lease_token=claimed.lease_token,
        ending=Ending.COMPLETED,
        finished_at=NOON,
        result=result,
    )
    ledger.leases.exchange("worker-1", outcomes=[outcome], wanted=[], queues=[task.queue])


def test_only_a_completed_task_has_a_result(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    task = submitting.submit(wish(), by=ADA).task
    with pytest.raises(NoResultError):
        tasks.get_result(task.id, by=ADA)

    complete(ledger, task, '"done"')

    assert tasks.get_result(task.id, by=ADA).result == '"done"'
    with pytest.raises(TaskNotFoundError):
        tasks.get_result(task.id, by=EVE)


def test_a_file_is_found_in_what_the_caller_may_read(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    reference = FileReference(
        id=FileId("0" * 32),
        name="cat.png",
        content_type="image/png",
        size_bytes=1,
        sha256="0" * 64,
    )
    task = submitting.submit(wish(), by=ADA).task
    complete(ledger, task, json.dumps({"made": reference.to_json()}))

    assert tasks.get_file(task.id, reference.id, by=ADA) == reference
    with pytest.raises(FileNotKeptError):
        tasks.get_file(task.id, "1" * 32, by=ADA)
    with pytest.raises(TaskNotFoundError):
        tasks.get_file(task.id, reference.id, by=EVE)


def test_many_tasks_are_found_as_far_as_they_are_the_callers(
    tasks: TaskService, submitting: SubmitService
) -> None:
    mine = submitting.submit(wish(), by=ADA).task.id
    theirs = submitting.submit(wish(), by=EVE).task.id
    ids = [mine, theirs, TaskId("nothing"), TaskId("a\0b")]

    assert set(tasks.find_tasks(ids, by=ADA)) == {mine}
    assert set(tasks.find_tasks(ids, by=OPERATOR)) == {mine, theirs}
    assert set(tasks.look_at(ids[:3])) == {mine, theirs}


def test_what_has_not_ended_is_counted_by_queue_and_state(
    tasks: TaskService, submitting: SubmitService
) -> None:
    for queue in ("a", "a", "b"):
        submitting.submit(wish(queue=queue), by=ADA)

    assert tasks.count_unfinished() == {("a", "queued"): 2, ("b", "queued"): 1}


def test_the_attempts_of_a_task_are_its_callers_to_read(
    tasks: TaskService, submitting: SubmitService, ledger: Ledger
) -> None:
    task = submitting.submit(wish(), by=ADA).task
    complete(ledger, task, "1")

    assert [each.ending for each in tasks.list_attempts(task.id, by=ADA)] == ["completed"]
    with pytest.raises(TaskNotFoundError):
        tasks.list_attempts(task.id, by=EVE)
