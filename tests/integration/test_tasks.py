"""One task: its values, its failures, its endings, and what the client sees of them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from celeriac.core.state import ErrorKind, TaskState
from celeriac.errors import TaskNotFoundError
from tests.integration.apps.troubles import TroubleError
from tests.servers.processes import wait_until
from tests.stage import APP, Stage


def test_client_gets_the_result_of_a_task(stage: Stage, client: Any) -> None:
    result = client.add.delay(2, 3)

    assert result.get(timeout=15) == 5

    assert result.state == "SUCCESS"
    task = stage.get(result.id)
    assert task.state is TaskState.COMPLETED
    assert task.name == f"{APP}.add"
    assert task.worker == stage.worker.name
    assert task.attempt == 1
    assert stage.endings(result.id) == ["completed"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "text with \u00fc, \U0001f96c and \\u0000",
        -(2**70),
        1.5,
        [1, [2, {"three": None}]],
        datetime(2026, 11, 22, 12, 30, 15, 123456, tzinfo=UTC),
        date(2026, 2, 28),
        Decimal("1.10"),
        UUID("12345678-1234-5678-1234-567812345678"),
        b"text as bytes",
        b"\x00\xff\xfe no text at all",
        {"when": datetime(2026, 1, 1, tzinfo=UTC), "of": [Decimal("0.1"), b"x"]},
    ],
    ids=repr,
)
def test_value_comes_back_as_it_went(client: Any, value: Any) -> None:
    result = client.echo.delay(value)

    returned = result.get(timeout=15)

    assert returned == value
    assert type(returned) is type(value)


def test_task_function_gets_values_of_the_types_that_were_sent(client: Any) -> None:
    values = [datetime.now(UTC), Decimal(1), UUID(int=1), b"x", 1, "x", None]

    result = client.name_types.delay(values)

    assert result.get(timeout=15) == [type(value).__name__ for value in values]


def test_user_data_that_looks_like_a_typed_value_stays_what_it_is(client: Any) -> None:
    lookalike = {"__type__": "decimal", "__value__": "1.0"}

    result = client.echo.delay(lookalike)

    assert result.get(timeout=15) == lookalike


def test_exception_reaches_the_client_with_class_arguments_and_traceback(
    stage: Stage, client: Any
) -> None:
    result = client.boom.delay()

    with pytest.raises(ValueError, match="no good") as raised:
        result.get(timeout=15)

    assert raised.value.args == ("no good", 7)
    assert result.state == "FAILURE"
    assert "conformance.py" in result.traceback
    assert 'raise ValueError("no good", 7)' in result.traceback
    task = stage.get(result.id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.kind is ErrorKind.EXCEPTION
    assert task.error.type == "ValueError"
    assert "no good" in task.error.message
    assert stage.endings(result.id) == ["failed"]


def test_exception_of_the_users_own_reaches_the_client(client: Any) -> None:
    result = client.trouble.delay("in the worker")

    with pytest.raises(TroubleError, match="in the worker"):
        result.get(timeout=15)


def test_result_that_no_json_carries_fails_the_task(stage: Stage, client: Any) -> None:
    result = client.unserialisable.delay()

    result.get(timeout=15, propagate=False)

    task = stage.get(result.id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert "JSON" in task.error.message


def test_task_knows_itself(client: Any) -> None:
    result = client.describe.delay()

    told = result.get(timeout=15)

    assert told == {
        "id": result.id,
        "root_id": result.id,
        "parent_id": None,
        "retries": 0,
        "queue": "default",
        "args": [],
    }


def test_task_keeps_the_id_that_the_client_chose(stage: Stage, client: Any, key: str) -> None:
    chosen = f"invoice/{key} \u00fc"

    result = client.add.apply_async((1, 1), task_id=chosen)

    assert result.get(timeout=15) == 2
    assert stage.get(chosen).state is TaskState.COMPLETED


def test_task_can_be_sent_by_its_name(client: Any) -> None:
    result = client.app.send_task(f"{APP}.add", args=(20,), kwargs={"y": 3})

    assert result.get(timeout=15) == 23


def test_shared_task_runs(client: Any) -> None:
    double = client.app.tasks[client.shared.double.name]

    result = double.delay(21)

    assert result.get(timeout=15) == 42


def test_task_class_of_the_users_own_is_told_of_its_endings(stage: Stage, client: Any) -> None:
    well = client.remembered.delay(5)
    badly = client.remembered.delay(0)

    well.get(timeout=15)
    badly.get(timeout=15, propagate=False)

    assert [line.text for line in stage.effects.of(f"on_success:{well.id}")] == ["2.0"]
    assert [line.text for line in stage.effects.of(f"on_failure:{badly.id}")] == [
        "ZeroDivisionError('division by zero')"
    ]


def test_ignored_task_completes_without_a_result(stage: Stage, client: Any, key: str) -> None:
    result = client.ignored.delay(key)

    task = stage.wait_for_state(result.id, TaskState.COMPLETED)

    assert task.is_ignored
    assert task.result is None
    assert len(stage.effects.of(key)) == 1


def test_rejected_task_fails(stage: Stage, client: Any, key: str) -> None:
    result = client.rejected.delay(key)

    task = stage.wait_for_state(result.id, TaskState.FAILED)

    assert task.error is not None
    assert task.error.kind is ErrorKind.REJECTED
    assert len(stage.effects.of(key)) == 1


def test_task_rejected_with_requeue_runs_again(stage: Stage, client: Any, key: str) -> None:
    result = client.rejected_once.delay(key)

    assert result.get(timeout=15) == "second"

    assert len(stage.effects.of(key)) == 2
    task = stage.get(result.id)
    assert task.crashes == 0
    assert stage.endings(result.id) == ["returned", "completed"]


def test_result_that_nobody_wants_is_not_kept(stage: Stage, client: Any, key: str) -> None:
    result = client.forget.delay(key)

    task = stage.wait_for_state(result.id, TaskState.COMPLETED)

    assert len(stage.effects.of(key)) == 1
    assert task.result is None
    assert not task.is_ignored


def test_progress_is_visible_while_the_task_runs(stage: Stage, client: Any, key: str) -> None:
    result = client.tell_progress.delay(key)

    stage.worker.wait_until(lambda: result.state == "PROGRESS", "progress is told")

    assert result.info == {"done": 50, "of": 100}
    progress = stage.get(result.id).progress
    assert progress is not None
    assert json.loads(progress)["meta"] == {"done": 50, "of": 100}

    stage.gates.open(key)

    assert result.get(timeout=15) == "all"
    assert result.state == "SUCCESS"


def test_unknown_id_is_an_error_and_not_pending(client: Any, key: str) -> None:
    result = client.app.AsyncResult(f"never-heard-of-{key}")

    with pytest.raises(TaskNotFoundError):
        _ = result.state


def test_task_that_no_worker_knows_stays_queued_and_is_in_nobodys_way(
    stage: Stage, client: Any
) -> None:
    unknown = client.app.send_task("nobody.knows.this")

    neighbours = [client.add.delay(each, 1) for each in range(10)]

    assert [each.get(timeout=15) for each in neighbours] == list(range(1, 11))
    assert stage.get(unknown.id).state is TaskState.QUEUED
    assert stage.get(unknown.id).attempt == 0
    assert unknown.state == "PENDING"

    stage.ledger.tasks.request_cancel(unknown.id)
    assert stage.get(unknown.id).state is TaskState.CANCELLED


@pytest.mark.only(pool="processes", ledger="sqlite")
def test_tasks_of_the_next_release_run_where_it_runs_and_circle_nowhere(
    stage: Stage, client: Any
) -> None:
    def send(count: int) -> list[Any]:
        return [client.app.send_task("newer.double", (each,)) for each in range(count)]

    def met() -> int:
        (facts,) = client.app.control.inspect([stage.worker.name]).stats().values()
        return int(facts["pool"]["counters"].get("doorbells_unknown", 0))

    already = met()
    early = send(20)
    wait_until(lambda: met() >= already + 20, "today's worker has seen them all")
    (worker,) = stage.ledger.leases.workers()
    newer = stage.add_worker("newer", app="tests.integration.apps.newer")

    # Nobody knows them, so that nothing has been rung again.
    assert met() == already + 20
    newer.start_ready()
    late = send(20)

    assert [each.get(timeout=30) for each in (*early, *late)] == [*range(0, 40, 2)] * 2
    assert {stage.get(each.id).worker for each in (*early, *late)} == {newer.name}
    assert all(stage.get(each.id).attempt == 1 for each in early)
    assert not worker.knows("newer.double")
    log = stage.worker.log_text()
    assert log.count("newer.double") == 1
    assert "WARNING" in next(line for line in log.splitlines() if "newer.double" in line)
    newer.stop()


def test_versions_and_moments_of_a_task_rise(stage: Stage, client: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)

    result = client.slow_add.delay(1, 1, 0.05)
    first = stage.get(result.id)
    result.get(timeout=15)

    last = stage.get(result.id)
    assert last.version > first.version or first.state is TaskState.COMPLETED
    assert last.started_at is not None
    assert last.finished_at is not None
    assert before < last.created_at <= last.started_at < last.finished_at
