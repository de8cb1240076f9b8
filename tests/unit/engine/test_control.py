from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.ledger.open import Ledger
from tests.engines import open_app
from tests.fakes import make_new_worker, open_test_ledger


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    open_test_ledger(tmp_path).close()
    with open_app(tmp_path) as made:

        @made.task(name="add")
        def add() -> None: ...

        yield made


@pytest.fixture
def ledger(app: Celery) -> Ledger:
    ledger: Ledger = app.celeriac.ledger
    return ledger


def _run(ledger: Ledger, task_id: str) -> None:
    ledger.leases.join(make_new_worker())
    exchange = ledger.leases.exchange(
        "worker-1", outcomes=[], wanted=[TaskId(task_id)], queues=["default"]
    )
    assert exchange.claimed


def _is_asked_to_stop(ledger: Ledger, task_id: str) -> bool:
    return ledger.tasks.get(task_id).cancel_requested_at is not None


def test_a_revoked_task_that_waits_is_cancelled_although_no_worker_listens(
    app: Celery, ledger: Ledger
) -> None:
    result = app.tasks["add"].delay()

    result.revoke()

    assert ledger.tasks.get(result.id).state is TaskState.CANCELLED


def test_a_running_task_goes_on_when_it_is_revoked(app: Celery, ledger: Ledger) -> None:
    result = app.tasks["add"].delay()
    _run(ledger, result.id)

    app.control.revoke(result.id)

    assert ledger.tasks.get(result.id).state is TaskState.RUNNING
    assert not _is_asked_to_stop(ledger, result.id)


def test_a_running_task_is_asked_to_stop_when_it_is_terminated(app: Celery, ledger: Ledger) -> None:
    result = app.tasks["add"].delay()
    _run(ledger, result.id)

    app.control.terminate(result.id)

    assert _is_asked_to_stop(ledger, result.id)


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_many_tasks_are_revoked_at_once_by_id_or_by_result(
    app: Celery, ledger: Ledger, kind: Any
) -> None:
    first, second = app.tasks["add"].delay(), app.tasks["add"].delay()

    app.control.revoke(kind([first, second.id]))

    assert {ledger.tasks.get(each.id).state for each in (first, second)} == {TaskState.CANCELLED}


def test_revoking_what_has_ended_or_never_was_changes_nothing(app: Celery, ledger: Ledger) -> None:
    result = app.tasks["add"].delay()
    app.control.revoke(result.id)
    before = ledger.tasks.get(result.id)

    app.control.revoke([result.id, "nobody"])

    assert ledger.tasks.get(result.id) == before


def test_workers_are_told_too(app: Celery) -> None:
    heard: list[dict[str, Any]] = []
    result = app.tasks["add"].delay()
    with app.connection_for_read() as connection:
        node = app.control.mailbox.Node("listener@host", channel=connection.default_channel)
        node.listen(callback=lambda body, _: heard.append(body))

        app.control.revoke(result.id)

        connection.drain_events(timeout=1)
    assert heard[0]["method"] == "revoke"
    assert heard[0]["arguments"]["task_id"] == [result.id]
