"""Queues that are paused while workers serve them."""

from __future__ import annotations

from typing import Any

from celeriac.core.state import TaskState
from tests.servers.processes import wait_until
from tests.stage import Stage


def test_a_paused_queue_waits_until_it_is_resumed(stage: Stage, client: Any, key: str) -> None:
    stage.ledger.queues.pause("default", by="ann")
    try:
        waiting = [client.mark.delay(f"{key}:{n}") for n in range(20)]
        # The worker has heard of it: doorbells stay in the broker.
        stage.worker.wait_until(
            lambda: (
                "a queue is paused" in stage.worker.log_text()
                or not stage.broker.client().llen("default")
            ),
            "the worker heard of the pause or refused",
        )
        assert {stage.get(each.id).state for each in waiting} == {TaskState.QUEUED}
        assert stage.effects.of(f"{key}:0") == []
    finally:
        stage.ledger.queues.resume("default")

    assert [each.get(timeout=30) for each in waiting] == [f"{key}:{n}" for n in range(20)]
    assert [len(stage.effects.of(f"{key}:{n}")) for n in range(20)] == [1] * 20


def test_doorbells_of_a_paused_queue_stay_in_the_broker(
    stage: Stage, client: Any, key: str
) -> None:
    before = stage.worker.log_text().count("a queue is paused")
    stage.ledger.queues.pause("default", by="ann")
    try:
        stage.worker.wait_until(
            lambda: stage.worker.log_text().count("a queue is paused") > before, "it heard"
        )
        waiting = [client.mark.delay(f"{key}:{n}") for n in range(5)]
        wait_until(lambda: stage.doorbells() >= 4, "they lie there")
        assert {stage.get(each.id).state for each in waiting} == {TaskState.QUEUED}
    finally:
        stage.ledger.queues.resume("default")

    assert [each.get(timeout=30) for each in waiting] == [f"{key}:{n}" for n in range(5)]
