"""Celery's remote control and inspection, and rate limits."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.state import ErrorKind, TaskState
from tests.servers.processes import wait_until
from tests.stage import APP, Stage


@pytest.fixture
def worker(stage: Stage) -> list[str]:
    """The worker's name as a destination."""
    return [stage.worker.name]


@pytest.fixture
def control(client: Any) -> Any:
    """The app's remote control."""
    return client.app.control


def ok(replies: Any, stage: Stage) -> Any:
    """Return what the one worker answered."""
    ((name, answer),) = [pair for reply in replies for pair in reply.items()]
    assert name == stage.worker.name
    assert "error" not in answer, answer
    return answer


def test_rate_limit_of_a_task_holds(stage: Stage, client: Any, key: str) -> None:
    results = [client.features.seldom.delay(key) for _ in range(4)]

    assert [result.get(timeout=20) for result in results] == [key] * 4

    lines = stage.effects.of(key)
    # Two a second: the fourth comes a second and a half after the first.
    assert lines[-1].at - lines[0].at >= 1.2


def test_neighbours_of_a_limited_task_are_not_held_up(stage: Stage, client: Any, key: str) -> None:
    limited = [client.features.seldom.delay(key) for _ in range(6)]

    assert [client.add.delay(each, 1).get(timeout=15) for each in range(5)] == [1, 2, 3, 4, 5]

    assert len(stage.effects.of(key)) < 6
    assert [result.get(timeout=20) for result in limited] == [key] * 6


def test_rate_limit_is_set_while_the_worker_runs(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    name = client.features.hurried.name
    ok(control.rate_limit(name, "2/s", destination=worker, reply=True, timeout=3), stage)
    try:
        results = [client.features.hurried.delay(key) for _ in range(4)]
        assert [result.get(timeout=20) for result in results] == [key] * 4
    finally:
        ok(control.rate_limit(name, "0", destination=worker, reply=True, timeout=3), stage)

    lines = stage.effects.of(key)
    assert lines[-1].at - lines[0].at >= 1.2


@pytest.mark.only(pool="processes")
def test_time_limit_is_set_while_the_worker_runs(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    name = client.linger.name
    ok(control.time_limit(name, hard=0.5, destination=worker, reply=True, timeout=3), stage)
    try:
        result = client.linger.delay(key, 20)
        result.get(timeout=15, propagate=False)
    finally:
        ok(control.time_limit(name, destination=worker, reply=True, timeout=3), stage)

    assert stage.effects.of(key) == []
    error = stage.get(result.id).error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


def test_worker_takes_another_queue_and_leaves_it(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    queue = f"extra-{key}"
    waiting = client.mark.apply_async((key,), queue=queue)

    ok(control.add_consumer(queue, destination=worker, reply=True, timeout=3), stage)

    assert waiting.get(timeout=15) == key
    ok(control.cancel_consumer(queue, destination=worker, reply=True, timeout=3), stage)
    inspect = control.inspect(destination=worker, timeout=3)
    # Celery answers first and leaves the queue in its loop's next turn.
    wait_until(
        lambda: queue not in [each["name"] for each in inspect.active_queues()[stage.worker.name]],
        "the worker has left the queue",
    )


def test_worker_answers_every_question(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    inspect = control.inspect(destination=worker, timeout=3)
    name = stage.worker.name

    assert inspect.ping()[name] == {"ok": "pong"}
    assert inspect.scheduled()[name] == []
    assert inspect.clock()[name]["clock"] > 0
    assert inspect.conf()[name]["task_default_queue"] == "default"
    assert f"{APP}.add [" not in "".join(inspect.registered()[name])
    assert any("rate_limit=2/s" in each for each in inspect.registered("rate_limit")[name])
    assert inspect.report()[name]["ok"]
    assert isinstance(inspect.revoked()[name], list)


def test_worker_tells_of_one_task(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    inspect = control.inspect(destination=worker, timeout=3)
    if stage.pool == "solo":
        # While it runs a task a solo worker hears nobody, as in stock Celery.
        assert inspect.query_task("unknown")[stage.worker.name] == {}
        return
    result = client.features.stay.delay(key)
    stage.wait_for_effect(f"{key}:start")

    (state, facts) = inspect.query_task(result.id)[stage.worker.name][result.id]

    stage.gates.open(key)
    assert (state, facts["id"], facts["name"]) == ("active", result.id, client.features.stay.name)
    assert result.get(timeout=15) == key


def test_revoked_ids_are_known_to_the_worker(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    result = client.mark.apply_async((key,), countdown=60)

    result.revoke()

    inspect = control.inspect(destination=worker, timeout=3)
    stage.worker.wait_until(
        lambda: result.id in inspect.revoked()[stage.worker.name], "it has heard of it"
    )


def test_commands_of_the_user_are_answered(
    stage: Stage, control: Any, worker: list[str], key: str
) -> None:
    answer = control.broadcast(
        "leave_word", arguments={"key": key}, destination=worker, reply=True, timeout=3
    )
    told = control.broadcast("favourite_colour", destination=worker, reply=True, timeout=3)

    assert ok(answer, stage) == {"ok": key}
    assert told == [{stage.worker.name: "green"}]
    assert len(stage.effects.of(key)) == 1


def test_tasks_are_revoked_by_their_stamps(
    stage: Stage, client: Any, control: Any, worker: list[str], key: str
) -> None:
    stamped = client.mark.s(key)
    stamped.stamp(order=key)
    with stage.all_slots_taken(f"{key}:gate"):
        result = stamped.apply_async()
        kept = client.mark.delay(f"{key}:kept")
        control.revoke_by_stamped_headers({"order": [key]})
        stage.wait_for_state(result.id, TaskState.CANCELLED)

    assert kept.get(timeout=15) == f"{key}:kept"
    assert stage.effects.of(key) == []
