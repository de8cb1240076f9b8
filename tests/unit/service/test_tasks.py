from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from celeriac.core.user import Role
from celeriac.errors import (
    InvalidArgumentsError,
    InvalidOptionError,
    LedgerUnavailableError,
    NotPermittedError,
    TaskAlreadyFinalError,
    TaskNameNotFoundError,
    TaskNotFoundError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.service.tasks import TaskService
from tests.fakes import (
    NOON,
    AwayLedger,
    Clock,
    ListedCatalogue,
    RecordingPublisher,
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


def test_a_submitted_task_is_kept_and_rung_for(
    tasks: TaskService, ledger: Ledger, publisher: RecordingPublisher
) -> None:
    report = tasks.submit(wish(), by=ADA)

    kept = ledger.tasks.get(report.task.id)
    assert kept == report.task
    assert (kept.state, kept.submitted_by, kept.queue) == (TaskState.QUEUED, "ada", "default")
    assert kept.arguments.text == '[[], {"data": "x"}]'
    assert [doorbell.task_id for doorbell in publisher.rung] == [kept.id]


def test_a_task_goes_to_the_queue_that_was_named_or_to_its_own(tasks: TaskService) -> None:
    own = tasks.submit(wish("report"), by=ADA)
    named = tasks.submit(wish("report", queue="default"), by=ADA)

    assert own.task.queue == "reports"
    assert named.task.queue == "default"


def test_a_task_for_later_is_not_rung_for_yet(
    tasks: TaskService, publisher: RecordingPublisher
) -> None:
    report = tasks.submit(wish(delay=timedelta(hours=1)), by=ADA)

    assert report.task.state is TaskState.SCHEDULED
    assert report.task.not_before == NOON + timedelta(hours=1)
    assert report.waiting_because == "scheduled"
    assert publisher.rung == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (wish("nothing.of.this.name"), TaskNameNotFoundError),
        (wish(data=3), InvalidArgumentsError),
        (wish(priority=10), InvalidOptionError),
    ],
)
def test_nothing_is_kept_of_what_makes_no_sense(
    tasks: TaskService, ledger: Ledger, request_: SubmitRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        tasks.submit(request_, by=ADA)

    assert ledger.tasks.list(TaskFilter(), after=None, limit=1).items == ()


def test_a_viewer_can_neither_submit_nor_cancel(tasks: TaskService, ledger: Ledger) -> None:
    task = tasks.submit(wish(), by=ADA).task

    with pytest.raises(NotPermittedError):
        tasks.submit(wish(), by=VIEWER)
    with pytest.raises(NotPermittedError):
        tasks.cancel_task(task.id, by=VIEWER)

    assert ledger.tasks.get(task.id).state is TaskState.QUEUED


def test_nothing_is_accepted_or_rung_for_while_the_ledger_is_away(
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    workers: RecordingWorkers,
    clock: Clock,
) -> None:
    tasks = TaskService(AwayLedger(), catalogue, publisher, workers, now=clock)

    with pytest.raises(LedgerUnavailableError):
        tasks.submit(wish(), by=ADA)

    assert publisher.rung == []


class GoesAwayAfterTheCommit:
    """A ledger that is lost between the commit and the next read."""

    def __init__(self, ledger: Ledger) -> None:
        self.leases = ledger.leases
        self.queues = ledger.queues
        self._tasks = ledger.tasks

    @property
    def tasks(self) -> Any:
        return self

    def insert(self, tasks: Sequence[Any]) -> Any:
        return self._tasks.insert(tasks)

    def find(self, task_id: TaskId) -> Task | None:
        raise LedgerUnavailableError(f"no answer about {task_id}")


@pytest.mark.parametrize("delay", [None, timedelta(hours=1)])
def test_a_committed_task_is_accepted_although_the_ledger_went_away_then(
    ledger: Ledger,
    catalogue: ListedCatalogue,
    publisher: RecordingPublisher,
    workers: RecordingWorkers,
    clock: Clock,
    delay: timedelta | None,
) -> None:
    tasks = TaskService(GoesAwayAfterTheCommit(ledger), catalogue, publisher, workers, now=clock)

    report = tasks.submit(wish(delay=delay, tags=("a",)), by=ADA)

    assert report.task == ledger.tasks.get(report.task.id)


def test_a_submitter_reads_their_own_task_and_an_operator_everybodys(tasks: TaskService) -> None:
    task = tasks.submit(wish(), by=ADA).task

    assert tasks.get_task(task.id, by=ADA).task == task
    assert tasks.get_task(task.id, by=OPERATOR).task == task


@pytest.mark.parametrize("stranger", [EVE, VIEWER])
def test_a_strangers_task_is_the_same_as_none(tasks: TaskService, stranger: Any) -> None:
    task = tasks.submit(wish(), by=ADA).task

    with pytest.raises(TaskNotFoundError) as foreign:
        tasks.get_task(task.id, by=stranger)
    with pytest.raises(TaskNotFoundError) as missing:
        tasks.get_task(TaskId("0" * 36), by=stranger)

    assert str(foreign.value).replace(task.id, "ID") == str(missing.value).replace("0" * 36, "ID")


def test_an_id_that_no_database_takes_is_no_task(tasks: TaskService) -> None:
    with pytest.raises(TaskNotFoundError):
        tasks.get_task(TaskId("a\0b"), by=OPERATOR)


def test_a_queued_task_tells_why_it_does_not_run(
    tasks: TaskService, ledger: Ledger, clock: Clock
) -> None:
    task = tasks.submit(wish(), by=ADA).task

    alone = tasks.get_task(task.id, by=ADA)
    ledger.leases.join(make_new_worker(queues=("default",)))
    clock.advance(seconds=5)
    in_line = tasks.get_task(task.id, by=ADA)

    assert alone.waiting_because == "no_worker_listens"
    assert in_line.waiting_because == "workers_busy"


def test_a_list_holds_ones_own_tasks_newest_first_page_by_page(
    tasks: TaskService, clock: Clock
) -> None:
    mine = []
    for _ in range(5):
        clock.advance(seconds=1)
        mine.append(tasks.submit(wish(), by=ADA).task.id)
        tasks.submit(wish(), by=EVE)

    first = tasks.list_tasks(TaskFilter(), by=ADA, limit=3)
    second = tasks.list_tasks(TaskFilter(), by=ADA, after=first.next, limit=3)

    listed = [report.task.id for report in (*first.items, *second.items)]
    assert listed == mine[::-1]
    assert second.next is None


def test_a_filter_cannot_name_somebody_else(tasks: TaskService) -> None:
    tasks.submit(wish(), by=ADA)

    page = tasks.list_tasks(TaskFilter(submitted_by="ada"), by=EVE)

    assert page.items == ()


def test_an_operator_lists_everybodys_tasks(tasks: TaskService) -> None:
    tasks.submit(wish(), by=ADA)
    tasks.submit(wish(), by=EVE)

    page = tasks.list_tasks(TaskFilter(), by=OPERATOR)

    assert {report.task.submitted_by for report in page.items} == {"ada", "eve"}


@pytest.mark.parametrize("limit", [0, 201])
def test_a_page_has_its_bounds(tasks: TaskService, limit: int) -> None:
    with pytest.raises(InvalidOptionError):
        tasks.list_tasks(TaskFilter(), by=ADA, limit=limit)


@pytest.mark.parametrize("who", [ADA, OPERATOR])
def test_a_queued_task_is_cancelled_at_once(
    tasks: TaskService, ledger: Ledger, workers: RecordingWorkers, who: Any
) -> None:
    task = tasks.submit(wish(), by=ADA).task

    tasks.cancel_task(task.id, by=who)

    assert ledger.tasks.get(task.id).state is TaskState.CANCELLED
    assert workers.interrupted == []


def test_a_running_task_is_asked_to_stop(
    tasks: TaskService, ledger: Ledger, workers: RecordingWorkers
) -> None:
    task = tasks.submit(wish(), by=ADA).task
    run(ledger, task)

    report = tasks.cancel_task(task.id, by=ADA)

    assert report.task.state is TaskState.RUNNING
    assert report.task.cancel_requested_at == NOON
    assert workers.interrupted == [task.id]


def test_a_task_that_has_ended_is_not_cancelled(tasks: TaskService) -> None:
    task = tasks.submit(wish(), by=ADA).task
    tasks.cancel_task(task.id, by=ADA)

    with pytest.raises(TaskAlreadyFinalError):
        tasks.cancel_task(task.id, by=ADA)


def test_a_strangers_task_is_not_cancelled(tasks: TaskService, ledger: Ledger) -> None:
    task = tasks.submit(wish(), by=ADA).task

    with pytest.raises(TaskNotFoundError):
        tasks.cancel_task(task.id, by=EVE)

    assert ledger.tasks.get(task.id).state is TaskState.QUEUED
