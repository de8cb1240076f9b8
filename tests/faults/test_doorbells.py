"""Doorbells that are doubled, replayed, forged and forgotten: at most a task runs that was due."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from celeriac.core.state import TaskState
from tests.faults.conftest import QUICK
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import APP, Stage

Json = dict[str, Any]


def doorbells(broker: Any, queue: str = "default") -> dict[bytes, list[bytes]]:
    """Return what lies in a queue, by the list of each priority."""
    lists = [name for name in broker.keys(f"{queue}*") if broker.type(name) == b"list"]
    return {name: broker.lrange(name, 0, -1) for name in lists}


def count(bells: dict[bytes, list[bytes]]) -> int:
    """Return how many doorbells there are."""
    return sum(map(len, bells.values()))


def wait_until_taken(stage: Stage) -> None:
    """Wait until no doorbell lies in the broker or is parked with a worker."""
    broker = stage.broker.client()
    stage.worker.wait_until(lambda: not doorbells(broker), "every doorbell is taken")
    stage.worker.wait_until(lambda: not broker.hlen("unacked"), "every doorbell is answered")


def forged(bell: bytes, **changes: Any) -> bytes:
    """Return a doorbell like another one, with other headers and a delivery tag of its own."""
    message: Json = json.loads(bell)
    message["headers"].update(changes)
    message["properties"]["delivery_tag"] = str(uuid4())
    message["properties"]["correlation_id"] = message["headers"]["id"]
    return json.dumps(message).encode()


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One worker that takes whatever this module throws at it."""
    folder = tmp_path_factory.mktemp("doorbells")
    # Nobody rings again here: what runs was rung for by the test.
    with (
        ValkeyServer(folder / "valkey") as broker,
        Stage(folder, broker=broker) as stage,
    ):
        stage.worker.start_ready()
        yield stage


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running stage; its worker must be the same one after each test."""
    pid = running_stage.worker.pid
    yield running_stage
    assert running_stage.client.add.delay(1, 1).get(timeout=15) == 2
    running_stage.wait_until_all_end()
    assert running_stage.worker.pid == pid


@pytest.fixture
def bell(stage: Stage) -> bytes:
    """A doorbell as ours ring it, for a task that has been cancelled since."""
    result = stage.client.add.apply_async((1, 1), queue="nobody")
    (bells,) = doorbells(stage.broker.client(), "nobody").values()
    stage.ledger.tasks.request_cancel(result.id)
    for name in doorbells(stage.broker.client(), "nobody"):
        stage.broker.client().delete(name)
    return bells[0]


def test_tasks_run_once_when_each_doorbell_is_delivered_three_times(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    folder = tmp_path_factory.mktemp("tripled")
    with ValkeyServer(folder / "valkey") as server, Stage(folder, broker=server) as stage:
        broker = server.client()
        results = [stage.client.mark.delay(f"{key}:{each}") for each in range(100)]
        bells = doorbells(broker)
        assert count(bells) == 100
        for name, elements in bells.items():
            broker.rpush(name, *elements, *elements)

        stage.worker.start_ready()
        stage.wait_until_all_end(seconds=30)
        wait_until_taken(stage)
        ended = [stage.get(result.id) for result in results]
        # And once more, long after.
        for name, elements in bells.items():
            broker.rpush(name, *elements)
        wait_until_taken(stage)
        assert stage.client.add.delay(1, 1).get(timeout=15) == 2

        assert {task.state for task in ended} == {TaskState.COMPLETED}
        assert [stage.get(result.id) for result in results] == ended
        assert [len(stage.effects.of(f"{key}:{each}")) for each in range(100)] == [1] * 100


def test_doorbell_for_an_unknown_task_is_refused(stage: Stage, bell: bytes) -> None:
    broker = stage.broker.client()

    broker.lpush("default", *(forged(bell, id=str(uuid4())) for _ in range(50)))

    wait_until_taken(stage)
    assert stage.client.add.delay(1, 1).get(timeout=15) == 2


def test_doorbell_for_an_unknown_task_function_is_refused(stage: Stage, bell: bytes) -> None:
    broker = stage.broker.client()

    broker.lpush("default", forged(bell, id=str(uuid4()), task="no.such.function"))

    wait_until_taken(stage)
    assert stage.client.add.delay(1, 1).get(timeout=15) == 2


def test_what_runs_is_what_the_ledger_says_and_not_the_doorbell(
    stage: Stage, bell: bytes, key: str
) -> None:
    result = stage.client.mark_after.apply_async((key, 0), countdown=0.5)
    body = json.dumps([[f"{key}:forged"], {}, {}]).encode()
    message: Json = json.loads(forged(bell, id=result.id, task=f"{APP}.mark"))
    message["body"] = base64.b64encode(body).decode()

    for _ in range(20):
        stage.broker.client().lpush("default", json.dumps(message))

    assert result.get(timeout=15) == key
    wait_until_taken(stage)
    assert len(stage.effects.of(key)) == 1
    assert stage.effects.of(f"{key}:forged") == []


def test_doorbell_does_not_start_a_task_before_its_time(
    stage: Stage, bell: bytes, key: str
) -> None:
    scheduled = stage.client.mark.apply_async((key,), countdown=60)
    links = stage.client.mark.s(key).set(countdown=60) | stage.client.note.s(key)
    waiting = links.apply_async()

    for result in (scheduled, waiting, waiting.parent):
        stage.broker.client().lpush("default", forged(bell, id=result.id))
    wait_until_taken(stage)
    assert stage.client.add.delay(1, 1).get(timeout=15) == 2

    assert stage.effects.of(key) == []
    assert stage.get(scheduled.id).state is TaskState.SCHEDULED
    assert stage.get(waiting.id).state is TaskState.WAITING
    stage.ledger.tasks.request_cancel(scheduled.id)
    stage.ledger.tasks.request_cancel(waiting.parent.id)


def test_doorbell_does_not_move_a_task_to_another_queue(
    stage: Stage, bell: bytes, key: str
) -> None:
    elsewhere = stage.client.mark.apply_async((key,), queue="nobody")

    stage.broker.client().lpush("default", forged(bell, id=elsewhere.id))
    wait_until_taken(stage)
    assert stage.client.add.delay(1, 1).get(timeout=15) == 2

    assert stage.effects.of(key) == []
    assert stage.get(elsewhere.id).state is TaskState.QUEUED
    stage.ledger.tasks.request_cancel(elsewhere.id)


def test_forgotten_doorbell_is_rung_again(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    folder = tmp_path_factory.mktemp("forgotten")
    with (
        ValkeyServer(folder / "valkey") as server,
        Stage(folder, broker=server, settings=QUICK) as stage,
    ):
        result = stage.client.mark.delay(key)
        server.client().flushall()

        stage.worker.start_ready()

        assert result.get(timeout=20) == key
        assert len(stage.effects.of(key)) == 1


def test_wiped_broker_is_noticed_and_rung_again(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    folder = tmp_path_factory.mktemp("wiped")
    # With the settings that users have: a wipe is noticed, not waited for.
    with ValkeyServer(folder / "valkey") as server, Stage(folder, broker=server) as stage:
        stage.worker.start_ready()
        with stage.all_slots_taken(f"{key}:gate") as running:
            queued = [stage.client.mark_before.delay(f"{key}:{i}", 0.05) for i in range(300)]

            server.client().flushall()

        stage.wait_until_all_end(seconds=60)
        for task_id in (*running, *(result.id for result in queued)):
            assert stage.endings(task_id) == ["completed"]
        assert [len(stage.effects.of(f"{key}:{i}")) for i in range(300)] == [1] * 300
        assert len(stage.effects.of(f"{key}:gate")) == 2


def test_broker_that_comes_back_empty_costs_nothing(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    folder = tmp_path_factory.mktemp("away")
    with (
        ValkeyServer(folder / "valkey") as server,
        Stage(folder, broker=server, settings=QUICK) as stage,
    ):
        stage.worker.start_ready()
        pid = stage.worker.pid
        with stage.all_slots_taken(f"{key}:gate") as running:
            before = [stage.client.mark.delay(f"{key}:before:{i}") for i in range(20)]

            server.kill()
            meanwhile = [stage.client.mark.delay(f"{key}:meanwhile:{i}") for i in range(20)]
            # What runs does not need the broker to end.
            stage.gates.open(f"{key}:gate")
            for task_id in running:
                stage.wait_for_state(task_id, TaskState.COMPLETED)
            server.start()

        wait_until(lambda: not stage.unfinished(), "every task has ended", seconds=45)
        assert stage.worker.pid == pid
        assert stage.worker.is_running
        for result in (*before, *meanwhile):
            assert stage.endings(result.id) == ["completed"]
        lines = [
            line.key
            for line in stage.effects.all()
            if line.key.startswith((f"{key}:b", f"{key}:m"))
        ]
        assert len(lines) == len(set(lines)) == 40
