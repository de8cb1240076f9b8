"""A broker that is cut, full, read-only, paused, or gone: the worker stays and loses nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from celeriac.core.state import TaskState
from tests.contract.broker.consuming import make_message, parked
from tests.contract.broker.test_refusals import unable_to_save
from tests.contract.broker.test_transport import BROKEN
from tests.faults.conftest import QUICK
from tests.servers.line import Line
from tests.servers.processes import Process, wait_until
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage


@pytest.fixture(scope="module")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two workers on one queue, which go through all of it."""
    folder = tmp_path_factory.mktemp("broker")
    with (
        ValkeyServer(folder / "valkey", is_durable=True) as broker,
        Stage(folder, broker=broker, settings=QUICK) as stage,
    ):
        other = stage.add_worker("other")
        stage.worker.start()
        other.start()
        for worker in stage.workers:
            worker.wait_ready()
        yield stage


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running stage; its workers must be the same ones after each test, and take tasks."""
    pids = [worker.pid for worker in running_stage.workers]
    yield running_stage
    assert all(worker.is_running for worker in running_stage.workers)
    assert [worker.pid for worker in running_stage.workers] == pids
    running_stage.wait_until_all_end(seconds=30)
    result = running_stage.client.add.delay(1, 1)
    assert result.get(timeout=15) == 2
    # Whatever was taken is acknowledged.
    wait_until(lambda: parked(running_stage.broker) == 0, "nothing is parked")


def _submit(stage: Stage, key: str, count: int) -> list[str]:
    return [stage.client.mark_before.delay(f"{key}:{n}", 0.005).id for n in range(count)]


def _check_each_ran_once(stage: Stage, key: str, ids: list[str]) -> None:
    stage.wait_until_all_end(seconds=40)
    for number, task_id in enumerate(ids):
        assert stage.get(task_id).state is TaskState.COMPLETED
        assert stage.endings(task_id) == ["completed"]
        assert len(stage.effects.of(f"{key}:{number}")) == 1


def test_two_workers_share_the_work_and_never_run_a_task_twice(stage: Stage, key: str) -> None:
    ids = _submit(stage, key, 200)

    _check_each_ran_once(stage, key, ids)

    names = [stage.get(task_id).worker for task_id in ids]
    assert min(names.count(worker.name) for worker in stage.workers) >= 20


def test_broken_elements_reach_no_worker(stage: Stage, key: str) -> None:
    client: Any = stage.broker.client()
    broken = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in BROKEN]
    small = [each for each in broken if len(each) < 1_000_000]
    before = int(client.get("celeriac:rejected") or 0)

    for _ in range(20):
        client.lpush("default", *small)
    client.lpush("default", *(set(broken) - set(small)))
    ids = _submit(stage, key, 20)

    _check_each_ran_once(stage, key, ids)
    wanted = before + 20 * len(small) + len(set(broken) - set(small))
    wait_until(lambda: int(client.get("celeriac:rejected")) == wanted, "all are put aside")
    assert client.llen("celeriac:rejects") <= 1000


def test_messages_with_nonsense_in_them_are_refused(stage: Stage) -> None:
    client: Any = stage.broker.client()
    nonsense: list[Any] = [
        {"task": None},
        {"task": "no.such.task"},
        {"id": ""},
        {"id": None},
        {"id": "x" * 100_000},
        {"id": "; DROP TABLE tasks"},
        {"retries": 10**30},
        {"expires": "never"},
        {"expires": 1e308},
        {"expires": -1},
        {"eta": "soon"},
        {"timelimit": ["a", "b"]},
        {"argsrepr": []},
        {"group_index": -5},
        {"stamped_headers": 5},
        {"stamps": []},
        {"ignore_result": "x"},
        {"replaced_task_nesting": "x"},
        {"origin": "x" * 100_000},
    ]
    for changes in nonsense:
        message = make_message(str(uuid4()), headers=changes)
        client.lpush("default", json.dumps(message))
        # The same as a doorbell of ours.
        message["content-type"] = "application/x-celeriac"
        message["headers"].setdefault("task", "add")
        client.lpush("default", json.dumps(message))
    for kind in ("application/x-python-serialize", "nothing/known", "application/x-yaml"):
        client.lpush("default", json.dumps(make_message(str(uuid4()), **{"content-type": kind})))
    for body in ("", "bm90aGluZw==", "W10=", "e30=", "WzEsMiwzXQ=="):
        client.lpush("default", json.dumps(make_message(str(uuid4()), body=body)))

    stage.worker.wait_until(lambda: not client.llen("default"), "all are taken")


def test_connections_that_are_cut_come_back(stage: Stage, key: str) -> None:
    ids = _submit(stage, key, 150)
    for _ in range(3):
        time.sleep(0.3)
        stage.broker.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    _check_each_ran_once(stage, key, ids)


def test_a_paused_broker_is_waited_for(stage: Stage, key: str) -> None:
    stage.broker.client().client_pause(1500, all=True)

    ids = _submit(stage, key, 20)

    _check_each_ran_once(stage, key, ids)


def test_a_broker_whose_memory_is_full_costs_nothing(stage: Stage, key: str) -> None:
    ids = _submit(stage, f"{key}:before", 100)
    stage.broker.client().config_set("maxmemory", 1)
    try:
        # Its doorbell is refused, the task is not.
        late = _submit(stage, f"{key}:late", 3)
        _wait_for_end(stage, ids)
    finally:
        stage.broker.client().config_set("maxmemory", 0)

    _check_each_ran_once(stage, f"{key}:before", ids)
    _check_each_ran_once(stage, f"{key}:late", late)


def test_a_broker_that_cannot_save_costs_nothing(stage: Stage, key: str) -> None:
    ids = _submit(stage, f"{key}:before", 100)
    with unable_to_save(stage.broker):
        late = _submit(stage, f"{key}:late", 3)
        time.sleep(1.0)

    _check_each_ran_once(stage, f"{key}:before", ids)
    _check_each_ran_once(stage, f"{key}:late", late)


def test_a_worker_whose_connections_went_dead_makes_new_ones(
    tmp_path: Path, broker: ValkeyServer, key: str
) -> None:
    with Line(broker.port) as line, Stage(tmp_path, broker=broker, settings=QUICK) as stage:
        # Only this worker is at the far end; whoever submits has a sound connection.
        stage.environment["CELERIAC_BROKER_URL"] = line.url(broker.url)
        stage.worker = stage.add_worker("far")
        stage.worker.start_ready()
        ids = _submit(stage, f"{key}:before", 100)
        stage.wait_for_effect(f"{key}:before:20")

        assert line.die() >= 2
        late = _submit(stage, f"{key}:late", 3)

        _check_each_ran_once(stage, f"{key}:before", ids)
        _check_each_ran_once(stage, f"{key}:late", late)
        # What comes from now on it hears of, too.
        assert stage.client.add.delay(1, 1).get(timeout=15) == 2
        assert stage.worker.is_running


def _wait_for_end(stage: Stage, ids: list[str]) -> None:
    for task_id in ids:
        stage.wait_for_state(task_id, TaskState.COMPLETED)


def test_a_broker_that_becomes_a_replica_and_is_one_no_more(
    stage: Stage, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ids = _submit(stage, key, 100)
    with ValkeyServer(tmp_path_factory.mktemp("primary")) as primary:
        client: Any = stage.broker.client()
        client.replicaof("127.0.0.1", primary.port)
        # Truly a replica, wiped by its primary: whoever writes is refused.
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "it follows")
        meanwhile = _submit(stage, f"{key}:meanwhile", 3)
        time.sleep(1.5)

        client.replicaof("no", "one")

        _check_each_ran_once(stage, key, ids)
        _check_each_ran_once(stage, f"{key}:meanwhile", meanwhile)


def test_a_broker_that_is_killed_and_keeps_its_data_gives_them_back(stage: Stage, key: str) -> None:
    ids = _submit(stage, key, 100)
    stage.broker.kill()
    time.sleep(1.0)
    stage.broker.start()

    _check_each_ran_once(stage, key, ids)
    for worker in stage.workers:
        assert "CPendingDeprecationWarning" not in worker.log_text()


def test_a_broker_that_loads_its_data_is_waited_for(stage: Stage, key: str) -> None:
    client: Any = stage.broker.client()
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(4000):
            pipeline.incr("filler")
        pipeline.execute()
    ids = _submit(stage, key, 50)
    stage.broker.kill()
    quick = stage.broker.command
    # Half a millisecond for each of what it has; it answers now and then meanwhile.
    stage.broker.command = (*quick, "--key-load-delay", "500")
    try:
        Process.start(stage.broker)
        for worker in stage.workers:
            worker.wait_for_log("is loading the dataset")
        ids += _submit(stage, f"{key}:late", 3)
        wait_until(stage.broker.client().ping, "it has loaded")
    finally:
        stage.broker.command = quick
        stage.broker.client().config_set("key-load-delay", 0)

    _check_each_ran_once(stage, key, ids[:50])
    _check_each_ran_once(stage, f"{key}:late", ids[50:])
    stage.broker.client().delete("filler")


def test_remote_control_leaves_nothing_behind(stage: Stage) -> None:
    client: Any = stage.broker.client()
    control = stage.client.app.control
    before = set(client.keys("*"))
    names = {worker.name for worker in stage.workers}

    for _ in range(50):
        replies = control.ping(timeout=5, limit=len(names))
        assert {name for reply in replies for name in reply} == names
    asked = control.inspect(timeout=5, limit=len(names))
    assert set(asked.active_queues() or {}) == names
    assert set(asked.stats() or {}) == names
    assert set(asked.registered() or {}) == names

    # What is parked belongs to the workers.
    left = set(client.keys("*")) - before
    assert [key for key in left if b"parked" in key or b"reply" in key] == []
    assert len(client.hgetall("celeriac:parkings")) <= len(names)
