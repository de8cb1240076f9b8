"""Tasks that have to wait, that come too late, and that take too long."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.exceptions import (
    SoftTimeLimitExceeded,
    TaskRevokedError,
    TimeLimitExceeded,
)
from celery.exceptions import TimeoutError as CeleryTimeoutError

from celeriac.core.state import ErrorKind, TaskState
from tests.stage import Stage

# A solo worker has nobody who could end a task that does not return: see docs.


def lies_in_the_broker(stage: Stage, task_id: str) -> bool:
    """Return whether the broker holds anything that names a task."""
    broker = stage.broker.client()
    held: list[bytes | str] = []
    for name in broker.keys("*"):
        kind = broker.type(name)
        if kind == b"list":
            held += broker.lrange(name, 0, -1)
        elif kind == b"hash":
            held += broker.hvals(name)
    return any(task_id in str(each) for each in held)


def test_task_with_a_countdown_waits_in_the_ledger(stage: Stage, client: Any, key: str) -> None:
    result = client.mark.apply_async((key,), countdown=60)

    assert stage.get(result.id).state is TaskState.SCHEDULED
    assert result.state == "PENDING"
    time.sleep(0.3)
    assert not lies_in_the_broker(stage, result.id)
    assert stage.get(result.id).state is TaskState.SCHEDULED
    result.revoke()


def test_task_with_a_countdown_runs_when_it_is_over(stage: Stage, client: Any, key: str) -> None:
    sent_at = time.monotonic()

    result = client.mark.apply_async((key,), countdown=1)

    assert result.get(timeout=15) == key
    (line,) = stage.effects.of(key)
    assert line.at - sent_at >= 1


def test_task_with_an_eta_does_not_run_before(stage: Stage, client: Any, key: str) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=1)

    result = client.mark.apply_async((key,), eta=eta)

    assert result.get(timeout=15) == key
    started_at = stage.get(result.id).started_at
    assert started_at is not None
    assert started_at >= eta


def test_task_with_an_eta_in_the_past_runs_at_once(client: Any, key: str) -> None:
    result = client.mark.apply_async((key,), eta=datetime.now(UTC) - timedelta(hours=1))

    assert result.get(timeout=15) == key


def test_link_of_a_chain_may_have_a_countdown(stage: Stage, client: Any, key: str) -> None:
    links = client.echo.s(1) | client.note.s(key).set(countdown=0.7)

    result = links.apply_async()

    assert result.parent.get(timeout=15) == 1
    ended_at = stage.get(result.parent.id).finished_at
    assert result.get(timeout=15) == 1
    started_at = stage.get(result.id).started_at
    assert started_at is not None
    assert ended_at is not None
    assert started_at - ended_at >= timedelta(seconds=0.6)


def test_task_that_expires_before_its_turn_never_runs(stage: Stage, client: Any, key: str) -> None:
    with stage.all_slots_taken(f"{key}:gate"):
        result = client.mark.apply_async((key,), expires=0.5)
        time.sleep(0.7)

    stage.wait_for_state(result.id, TaskState.EXPIRED)
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)
    assert stage.effects.of(key) == []


def test_task_that_expires_while_no_worker_serves_its_queue_ends(
    stage: Stage, client: Any, key: str
) -> None:
    result = client.mark.apply_async((key,), expires=0.3, queue="served-by-nobody")

    stage.wait_for_state(result.id, TaskState.EXPIRED)


def test_task_that_expires_later_runs(client: Any, key: str) -> None:
    result = client.mark.apply_async((key,), expires=60)

    assert result.get(timeout=15) == key


def test_client_stops_waiting_after_its_own_timeout(stage: Stage, client: Any, key: str) -> None:
    result = client.wait_for.delay(key)

    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.3)

    stage.gates.open(key)
    assert result.get(timeout=15) == key


def test_task_past_its_soft_limit_may_clean_up(stage: Stage, client: Any, key: str) -> None:
    result = client.clean_up_when_late.delay(key)

    assert result.get(timeout=15) == "cleaned up"

    assert len(stage.effects.of(key)) == 1


def test_task_that_does_not_catch_the_soft_limit_fails(stage: Stage, client: Any, key: str) -> None:
    result = client.ignore_soft_limit.delay(key)

    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=15)

    error = stage.get(result.id).error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT
    assert stage.effects.of(key) == []


def test_soft_limit_of_one_task_does_not_hit_the_next(client: Any, key: str) -> None:
    late = [client.clean_up_when_late.delay(key) for _ in range(2)]
    behind = [client.mark_after.delay(f"{key}:{each}", 0.2) for each in range(8)]

    assert [result.get(timeout=20) for result in late] == ["cleaned up"] * 2
    assert [result.get(timeout=20) for result in behind] == [f"{key}:{i}" for i in range(8)]


def test_task_past_its_hard_limit_is_ended(stage: Stage, client: Any, key: str) -> None:
    result = client.run_too_long.delay(key)
    behind = [client.add.delay(each, 1) for each in range(6)]

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=15)

    task = stage.get(result.id)
    assert task.error is not None
    assert task.error.kind is ErrorKind.TIMEOUT
    assert task.crashes == 0
    assert stage.effects.of(key) == []
    assert [each.get(timeout=15) for each in behind] == [1, 2, 3, 4, 5, 6]


def test_limit_of_one_call_counts(stage: Stage, client: Any, key: str) -> None:
    result = client.linger.apply_async((key, 20), time_limit=0.5)

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=15)

    assert stage.effects.of(key) == []


def test_task_past_its_hard_limit_calls_its_errback(stage: Stage, client: Any, key: str) -> None:
    errback = client.keyed_errback.s(f"{key}:errback")

    client.linger.apply_async((key, 20), time_limit=0.5, link_error=errback)

    stage.wait_for_effect(f"{key}:errback")
    stage.wait_until_all_end()
    assert len(stage.effects.of(f"{key}:errback")) == 1
