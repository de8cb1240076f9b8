"""Tasks that are coroutines: many at a time in one process, each of them itself."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from celeriac.core.state import ErrorKind, TaskState
from tests.integration.apps.troubles import TroubleError
from tests.stage import Stage


def test_a_hundred_tasks_at_a_time_know_who_they_are_after_a_wait(
    stage: Stage, client: Any, key: str
) -> None:
    results = [client.waiting.who_am_i.delay(key) for _ in range(100)]

    # None has ended, and all have begun: they run at the same time.
    stage.wait_for_effect(f"{key}:start", count=100, seconds=40)
    stage.gates.open(key)

    assert [each.get(timeout=40) for each in results] == [[each.id] * 4 for each in results]


def test_plain_tasks_run_while_async_ones_wait(stage: Stage, client: Any, key: str) -> None:
    waiting = [client.waiting.wait_for.delay(key, f"{key}:{each}") for each in range(20)]
    for each in range(20):
        stage.wait_for_effect(f"{key}:{each}:start")

    plain = [client.add.delay(each, 1) for each in range(20)]

    assert [each.get(timeout=15) for each in plain] == [each + 1 for each in range(20)]
    assert {stage.get(each.id).state for each in waiting} == {TaskState.RUNNING}
    stage.gates.open(key)
    assert [each.get(timeout=15) for each in waiting] == [key] * 20


# A solo worker takes doorbells in the thread that runs the plain task.
@pytest.mark.only(pool="processes threads")
def test_async_tasks_run_while_every_slot_has_a_plain_one(
    stage: Stage, client: Any, key: str
) -> None:
    with stage.all_slots_taken(f"{key}:gate"):
        # The worker may have its window full of what waits for a slot, but not for long.
        result = client.waiting.nap.delay(0.01)

        assert result.get(timeout=15) == 0.01


def test_exception_of_an_async_task_comes_back_with_its_traceback(
    stage: Stage, client: Any
) -> None:
    result = client.waiting.boom.delay()

    with pytest.raises(TroubleError, match="after a wait"):
        result.get(timeout=15)

    assert 'raise TroubleError("after a wait")' in result.traceback


def test_async_task_asks_to_be_run_again(stage: Stage, client: Any, key: str) -> None:
    result = client.waiting.retry_until.delay(key, 3)

    assert result.get(timeout=15) == "done after 2 retries"
    assert stage.endings(result.id) == ["retried", "retried", "completed"]


def test_async_task_is_retried_without_asking(stage: Stage, client: Any, key: str) -> None:
    result = client.waiting.flaky.delay(key, 2)

    assert result.get(timeout=15) == "well"
    assert len(stage.effects.of(key)) == 3


def test_progress_of_an_async_task_is_seen(stage: Stage, client: Any, key: str) -> None:
    result = client.waiting.tell_progress.delay(key)

    task = stage.wait_for_state(result.id, TaskState.RUNNING)
    while task.progress is None:
        task = stage.get(result.id)
    assert result.info == {"done": 50, "total": 100, "message": ""}
    stage.gates.open(key)
    assert result.get(timeout=15) == "all"


def test_async_task_submits_another(stage: Stage, client: Any, key: str) -> None:
    result = client.waiting.submit_other.delay(key)

    other = client.app.AsyncResult(result.get(timeout=15))

    assert other.get(timeout=15) == key
    assert stage.get(other.id).parent_id == result.id


def test_async_task_is_a_link_of_a_chain(client: Any, key: str) -> None:
    links = client.waiting.nap.s(0.01) | client.waiting.nap.s() | client.echo.s()

    assert links.apply_async().get(timeout=15) == 0.01


def test_async_task_past_its_soft_limit_may_clean_up(stage: Stage, client: Any, key: str) -> None:
    result = client.waiting.clean_up_when_late.delay(key)

    assert result.get(timeout=15) == "cleaned up"
    assert len(stage.effects.of(key)) == 1


def test_async_task_that_does_not_catch_its_soft_limit_fails(stage: Stage, client: Any) -> None:
    result = client.waiting.nap.apply_async((30,), soft_time_limit=0.3)

    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=15)

    error = stage.get(result.id).error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


def test_async_task_past_its_hard_limit_ends_alone(stage: Stage, client: Any, key: str) -> None:
    beside = client.waiting.wait_for.delay(f"{key}:gate", f"{key}:beside")
    stage.wait_for_effect(f"{key}:beside:start")
    result = client.waiting.run_too_long.delay(key)

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=15)

    assert stage.effects.of(key) == []
    stage.gates.open(f"{key}:gate")
    beside.get(timeout=15)
    assert stage.endings(beside.id) == ["completed"]


@pytest.mark.only(pool="processes")
def test_async_task_that_will_not_end_is_killed_and_its_neighbours_run_again(
    stage: Stage, client: Any, key: str
) -> None:
    beside = client.waiting.wait_for.delay(f"{key}:gate", f"{key}:beside")
    stage.wait_for_effect(f"{key}:beside:start")
    result = client.waiting.hang.delay(key)

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=25)

    stage.gates.open(f"{key}:gate")
    beside.get(timeout=15)
    # It was cut off for what another did, and is not charged with it.
    assert stage.endings(beside.id) == ["lost", "completed"]
    assert stage.get(beside.id).crashes == 0
    assert stage.effects.of(key) == []


def test_revoked_async_task_is_cancelled_where_it_waits(
    stage: Stage, client: Any, key: str
) -> None:
    beside = client.waiting.wait_for.delay(f"{key}:gate", f"{key}:beside")
    result = client.waiting.linger.delay(key, 30)
    stage.wait_for_effect(f"{key}:start")
    stage.wait_for_effect(f"{key}:beside:start")

    client.app.control.revoke(result.id, terminate=True)

    stage.wait_for_state(result.id, TaskState.CANCELLED)
    assert len(stage.effects.of(f"{key}:cancelled")) == 1
    assert stage.effects.of(key) == []
    stage.gates.open(f"{key}:gate")
    beside.get(timeout=15)
    assert stage.endings(beside.id) == ["completed"]


def test_async_task_that_ends_python_is_charged_and_its_neighbours_are_not(
    stage: Stage, client: Any, key: str
) -> None:
    beside = client.waiting.wait_for.delay(f"{key}:gate", f"{key}:beside")
    stage.wait_for_effect(f"{key}:beside:start")
    result = client.waiting.leave_python.delay(key)

    result.get(timeout=25, propagate=False)

    error = stage.get(result.id).error
    assert error is not None
    assert error.kind is ErrorKind.WORKER_LOST
    assert len(stage.effects.of(key)) == 3
    stage.gates.open(f"{key}:gate")
    beside.get(timeout=15)
    assert stage.get(beside.id).crashes == 0
