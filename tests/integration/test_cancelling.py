"""Tasks that are called off before and while they run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import TaskRevokedError

from celeriac.core.state import ErrorKind, TaskState
from tests.stage import Stage


def test_revoked_task_that_waits_never_runs(stage: Stage, client: Any, key: str) -> None:
    with stage.all_slots_taken(f"{key}:gate"):
        result = client.mark.delay(key)
        client.app.control.revoke(result.id)
        stage.wait_for_state(result.id, TaskState.CANCELLED)

    after = client.add.delay(1, 1)

    assert after.get(timeout=15) == 2
    assert stage.effects.of(key) == []
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_revoked_task_that_is_scheduled_never_runs(stage: Stage, client: Any, key: str) -> None:
    result = client.mark.apply_async((key,), countdown=1)

    result.revoke()

    stage.wait_for_state(result.id, TaskState.CANCELLED)
    assert stage.effects.of(key) == []


def test_links_behind_a_cancelled_task_fail(stage: Stage, client: Any, key: str) -> None:
    links = chain(client.mark.s(key).set(countdown=60), client.note.s(key), client.note.s(key))
    result = links.apply_async()

    stage.ledger.tasks.request_cancel(result.parent.parent.id)

    for link in (result.parent, result):
        error = stage.wait_for_state(link.id, TaskState.FAILED).error
        assert error is not None
        assert error.kind is ErrorKind.UPSTREAM
    assert stage.effects.of(key) == []


def test_revoking_a_task_that_has_ended_changes_nothing(stage: Stage, client: Any) -> None:
    result = client.add.delay(1, 1)
    assert result.get(timeout=15) == 2
    before = stage.get(result.id)

    client.app.control.revoke(result.id, terminate=True)
    assert client.add.delay(2, 2).get(timeout=15) == 4

    assert stage.get(result.id) == before


def test_revoked_task_that_runs_is_ended(stage: Stage, client: Any, key: str) -> None:
    result = client.linger.delay(key, 20)
    stage.wait_for_effect(f"{key}:start")

    client.app.control.revoke(result.id, terminate=True)

    stage.wait_for_state(result.id, TaskState.CANCELLED)
    assert client.add.delay(1, 1).get(timeout=15) == 2
    assert stage.effects.of(key) == []
    assert stage.get(result.id).crashes == 0


def test_revoked_task_that_is_claimed_and_waits_for_a_slot_never_runs(
    stage: Stage, client: Any, key: str
) -> None:
    for turn in range(10):
        # The worker learns that its tasks are short, and claims more than it has slots for.
        for each in [client.add.delay(1, 1) for _ in range(50)]:
            each.get(timeout=20)
        gate = f"{key}:{turn}:gate"
        takers = [client.wait_for.s(gate, gate) for _ in range(stage.concurrency)]
        lot = group([*takers, *(client.mark.s(key) for _ in range(4))]).apply_async()
        waiting = lot.results[-4:]
        # Until it is seen that the slots are taken for long, in about half a second.
        are_claimed = _are_claimed(stage, waiting, seconds=0.4)

        for result in waiting:
            client.app.control.revoke(result.id, terminate=True)

        for result in waiting:
            stage.wait_for_state(result.id, TaskState.CANCELLED)
        stage.gates.open(gate)
        for result in lot.results[:-4]:
            result.get(timeout=15)
        if are_claimed:
            break
    else:
        pytest.fail("nothing was claimed that waited for a slot")
    assert client.add.delay(1, 1).get(timeout=15) == 2
    assert stage.effects.of(key) == []


def _are_claimed(stage: Stage, waiting: Sequence[Any], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(stage.get(each.id).state is TaskState.RUNNING for each in waiting):
            return True
        time.sleep(0.01)
    return False


def test_ending_one_task_leaves_its_neighbours_alone(stage: Stage, client: Any, key: str) -> None:
    ended = client.linger.delay(key, 20)
    neighbours = [client.linger.delay(f"{key}:{each}", 0.3) for each in range(6)]
    stage.wait_for_effect(f"{key}:start")

    client.app.control.revoke(ended.id, terminate=True)

    assert [each.get(timeout=20) for each in neighbours] == [f"{key}:{i}" for i in range(6)]
    assert [len(stage.effects.of(f"{key}:{each}")) for each in range(6)] == [1] * 6
    stage.wait_for_state(ended.id, TaskState.CANCELLED)


def test_running_task_that_is_asked_to_stop_may_not_be_final_before_it_stopped(
    stage: Stage, client: Any, key: str
) -> None:
    result = client.wait_for.delay(key)
    stage.wait_for_effect(f"{key}:start")

    asked = stage.ledger.tasks.request_cancel(result.id)

    assert asked.state is TaskState.RUNNING
    assert asked.cancel_requested_at is not None
    stage.gates.open(key)
    result.get(timeout=15, propagate=False)
    # Whichever came first, the record and what was done agree.
    is_completed = stage.get(result.id).state is TaskState.COMPLETED
    assert len(stage.effects.of(key)) == int(is_completed)
