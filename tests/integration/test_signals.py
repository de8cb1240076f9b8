"""Celery's signals, on both sides of the road, and its events."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stage import Stage


def told(stage: Stage, signal: str, task_id: str) -> int:
    """Return how often a signal was told of a task."""
    return len(stage.effects.of(f"{signal}:{task_id}"))


def test_signals_of_a_task_that_completes(
    stage: Stage, client: Any, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The two of a publish are told in the client's process.
    monkeypatch.setenv("EFFECTS_FILE", stage.environment["EFFECTS_FILE"])

    result = client.features.signalled.delay(key)

    assert result.get(timeout=15) == key

    # Once for each doorbell, and a second doorbell is no fault.
    stage.wait_for_effect(f"task_received:{result.id}")
    for signal in (
        *("before_task_publish", "after_task_publish"),
        *("task_prerun", "task_success", "task_postrun"),
    ):
        stage.wait_for_effect(f"{signal}:{result.id}")
        assert told(stage, signal, result.id) == 1
    assert told(stage, "task_failure", result.id) == 0


def test_signals_of_a_task_that_fails(stage: Stage, client: Any, key: str) -> None:
    result = client.features.signal_trouble.delay(key)

    result.get(timeout=15, propagate=False)

    for signal in ("task_prerun", "task_failure", "task_postrun"):
        stage.wait_for_effect(f"{signal}:{result.id}")
        assert told(stage, signal, result.id) == 1
    assert told(stage, "task_success", result.id) == 0


def test_signals_of_a_task_that_is_retried(stage: Stage, client: Any, key: str) -> None:
    result = client.features.signal_retry.delay(key)

    assert result.get(timeout=15) == key

    assert told(stage, "task_retry", result.id) == 1
    assert told(stage, "task_prerun", result.id) == 2
    assert told(stage, "task_success", result.id) == 1


# While it runs a task a solo worker receives nothing.
@pytest.mark.only(pool="processes threads")
def test_signal_of_a_task_that_is_revoked(stage: Stage, client: Any, key: str) -> None:
    # A worker whose slots all have long tasks gives back what waits, and then nobody is told.
    ids = (_revoke_one(stage, client, f"{key}:{turn}") for turn in range(5))

    revoked = next((each for each in ids if told(stage, "task_revoked", each)), None)

    assert revoked is not None
    assert told(stage, "task_prerun", revoked) == 0


def _revoke_one(stage: Stage, client: Any, key: str) -> str:
    with stage.all_slots_taken(f"{key}:gate"):
        result = client.features.signalled.delay(key)
        # Until the worker knows of it: nobody is told of what no worker has heard of.
        stage.wait_for_effect(f"task_received:{result.id}")
        # As Flower does: the worker hears of it before the ledger.
        client.app.control.broadcast(
            "revoke",
            arguments={"task_id": [result.id]},
            destination=[stage.worker.name],
            reply=True,
            timeout=3,
        )

    stage.wait_until_all_end()
    return str(result.id)


def test_signals_of_a_worker_that_starts(stage: Stage, client: Any) -> None:
    assert client.add.delay(1, 1).get(timeout=15) == 2

    signals = {line.text for line in stage.effects.of("signal")}

    assert {"worker_init", "worker_ready", "worker_process_init"} <= signals


@contextmanager
def captured(app: Any) -> Iterator[list[dict[str, Any]]]:
    """Gather all events while the block runs."""
    events: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": events.append})
        watching = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        watching.start()
        try:
            yield events
        finally:
            receiver.should_stop = True
            watching.join(10)


@pytest.fixture
def events(stage: Stage, client: Any) -> Iterator[list[dict[str, Any]]]:
    """What the worker tells while its events are on."""
    client.app.control.enable_events(reply=True, destination=[stage.worker.name], timeout=3)
    with captured(client.app) as found:
        stage.worker.wait_until(lambda: found, "the first event has come")
        yield found
    client.app.control.disable_events(reply=True, destination=[stage.worker.name], timeout=3)


def kinds(events: list[dict[str, Any]], task_id: str) -> list[str]:
    """Return the kinds of the events of one task, in the order in which they came."""
    return [each["type"] for each in list(events) if each.get("uuid") == task_id]


def test_events_tell_of_a_task_from_its_arrival_to_its_end(
    stage: Stage, client: Any, events: list[dict[str, Any]]
) -> None:
    result = client.add.delay(1, 2)

    assert result.get(timeout=15) == 3
    stage.worker.wait_until(
        lambda: "task-succeeded" in kinds(events, result.id), "its events have come"
    )
    assert kinds(events, result.id) == ["task-received", "task-started", "task-succeeded"]
    (succeeded,) = [
        each
        for each in events
        if each.get("uuid") == result.id and each["type"] == "task-succeeded"
    ]
    assert succeeded["result"] == "3"
    assert succeeded["hostname"] == stage.worker.name


def test_events_tell_of_failures_and_retries(
    stage: Stage, client: Any, events: list[dict[str, Any]], key: str
) -> None:
    failed = client.boom.delay()
    retried = client.features.signal_retry.delay(key)

    assert retried.get(timeout=15) == key
    failed.get(timeout=15, propagate=False)
    stage.worker.wait_until(
        lambda: (
            "task-succeeded" in kinds(events, retried.id)
            and "task-failed" in kinds(events, failed.id)
        ),
        "their ends are told",
    )
    assert kinds(events, failed.id)[-1] == "task-failed"
    assert "task-retried" in kinds(events, retried.id)


def test_events_of_a_limited_task_are_those_of_any_other(
    stage: Stage, client: Any, events: list[dict[str, Any]], key: str
) -> None:
    results = [client.features.seldom.delay(key) for _ in range(3)]

    assert [each.get(timeout=15) for each in results] == [key] * 3
    for result in results:
        stage.worker.wait_until(
            lambda: "task-succeeded" in kinds(events, result.id),  # noqa: B023 - called at once
            "its events have come",
        )
        assert kinds(events, result.id) == ["task-received", "task-started", "task-succeeded"]


def test_events_tell_of_the_worker(stage: Stage, events: list[dict[str, Any]]) -> None:
    stage.worker.wait_until(
        lambda: any(each["type"] == "worker-heartbeat" for each in list(events)), "its heart beats"
    )
