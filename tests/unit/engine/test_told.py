from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.task import TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool.told import Told
from tests.engines import Request


def _call(function: Any, *args: Any) -> None:
    function(*args)


TOLD = Told(_call)


@pytest.fixture(autouse=True)
def clean_state() -> Iterator[None]:
    worker_state.reset_state()
    yield
    worker_state.reset_state()


def _end(request: Request, ending: Ending, state: str) -> None:
    outcome = Outcome(
        task_id=TaskId(request.id),
        lease_token="lease",
        ending=ending,
        finished_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    TOLD.ended(request, outcome, Report(state=state, runtime_seconds=0.5, shown="42"))
    TOLD.flush()


def test_nothing_is_called_but_posted_to_the_main_thread() -> None:
    posted: list[Any] = []
    request = Request()

    told = Told(lambda *call: posted.append(call))
    told.refused(request)
    told.accepted(Request("task-2"), 123, 4.5)
    told.flush()

    assert request.acknowledgements == 0
    assert len(posted) == 1


def test_what_fails_to_be_told_of_one_task_keeps_nothing_from_the_next() -> None:
    broken, request = Request(), Request("task-2")
    broken.acknowledge = None  # type: ignore[assignment, method-assign]  # to have it fail

    TOLD.refused(broken)
    TOLD.refused(request)
    TOLD.flush()

    assert request.acknowledgements == 1


def test_with_nothing_to_tell_nobody_is_woken() -> None:
    posted: list[Any] = []

    Told(lambda *call: posted.append(call)).flush()

    assert posted == []


def test_a_task_that_runs_is_acknowledged_and_stays_reserved() -> None:
    request = Request()
    worker_state.task_reserved(request)

    TOLD.accepted(request, 123, 4.5)
    TOLD.flush()

    assert request.acknowledgements == 1
    assert worker_state.requests[request.id] is request


def test_an_acknowledged_doorbell_is_not_acknowledged_again() -> None:
    request = Request()
    TOLD.accepted(request, 123, 4.5)
    TOLD.flush()

    _end(request, Ending.COMPLETED, "SUCCESS")

    assert request.acknowledgements == 1


def test_a_task_that_ends_before_it_began_is_acknowledged() -> None:
    request = Request()

    _end(request, Ending.UNBEGUN, "IGNORED")

    assert request.acknowledgements == 1


def test_a_refused_doorbell_is_acknowledged_and_forgotten() -> None:
    request = Request()
    worker_state.task_reserved(request)

    TOLD.refused(request)
    TOLD.flush()

    assert request.acknowledgements == 1
    assert not worker_state.requests
    assert not worker_state.reserved_requests


def test_a_second_doorbell_leaves_the_running_task_in_celerys_sight() -> None:
    running, second = Request(), Request()
    worker_state.task_reserved(running)
    worker_state.task_reserved(second)

    TOLD.duplicate(second, running)
    TOLD.flush()

    assert second.acknowledgements == 1
    assert worker_state.requests[running.id] is running
    assert list(worker_state.reserved_requests) == [running]


def test_a_task_that_runs_is_accepted_by_its_process() -> None:
    request = Request()

    TOLD.accepted(request, 123, 4.5)
    TOLD.flush()

    assert request.accepted == [(123, 4.5)]


@pytest.mark.parametrize(
    ("ending", "state", "event"),
    [
        (Ending.COMPLETED, "SUCCESS", "task-succeeded"),
        # Celery has no event for it; without any Flower would show it running for ever.
        (Ending.COMPLETED, "IGNORED", "task-succeeded"),
        (Ending.FAILED, "FAILURE", "task-failed"),
        (Ending.FAILED, "REJECTED", "task-failed"),
        (Ending.RETRIED, "RETRY", "task-retried"),
        (Ending.RETURNED, "RETRY", "task-retried"),
        (Ending.CANCELLED, "REVOKED", "task-revoked"),
    ],
)
def test_celerys_event_tells_how_a_task_ended(ending: Ending, state: str, event: str) -> None:
    request = Request()
    worker_state.task_reserved(request)

    _end(request, ending, state)

    assert [kind for kind, _ in request.events] == [event]
    assert not worker_state.requests


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (Ending.RETURNED, "IGNORED"),
        (Ending.UNBEGUN, "IGNORED"),
        (Ending.REPLACED, "IGNORED"),
        (Ending.LOST, "FAILURE"),
    ],
)
def test_no_event_tells_of_a_task_that_will_run_again(ending: Ending, state: str) -> None:
    request = Request()

    _end(request, ending, state)

    assert request.events == []


def test_a_task_that_celery_itself_revoked_is_told_of_once() -> None:
    request = Request(is_revoked=True)

    _end(request, Ending.CANCELLED, "REVOKED")

    assert request.events == []


def test_a_task_that_has_ended_is_not_active_any_more() -> None:
    request = Request()
    worker_state.task_accepted(request)

    _end(request, Ending.COMPLETED, "SUCCESS")

    assert list(worker_state.active_requests) == []


def test_a_doorbell_that_cannot_go_back_is_forgotten_by_celery_all_the_same() -> None:
    # It has no message that could be given back.
    request = Request("task-1")
    worker_state.task_reserved(request)

    TOLD.returned(request)
    TOLD.flush()

    assert worker_state.requests == {}
