"""Programs of plain Celery beside ours: clients, workers, and Celery's remote control."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from celeriac.core.state import TaskState
from tests.servers.processes import Process, clean_environment
from tests.stage import APP, Stage

STOCK_APP = "tests.integration.apps.stock"


@pytest.fixture
def plain(stage: Stage) -> Any:
    """A client that knows nothing of us: plain Celery with results in Redis."""
    app = Celery("plain", broker=stage.broker.url, backend=stage.broker.url, set_as_current=False)
    yield app
    app.close()


def test_plain_client_reads_a_result(client: Any, plain: Any) -> None:
    result = client.add.delay(20, 1)

    theirs = plain.AsyncResult(result.id)

    assert theirs.get(timeout=15) == 21
    assert theirs.state == "SUCCESS"


def test_plain_client_reads_a_failure(client: Any, plain: Any) -> None:
    result = client.boom.delay()

    theirs = plain.AsyncResult(result.id)

    with pytest.raises(ValueError, match="no good"):
        theirs.get(timeout=15)


def test_result_in_the_broker_is_celerys_own_and_does_not_stay(stage: Stage, client: Any) -> None:
    result = client.add.delay(20, 2)
    assert result.get(timeout=15) == 22
    key = f"celery-task-meta-{result.id}"
    broker = stage.broker.client()
    stage.worker.wait_until(lambda: broker.exists(key), "the result is in the broker")

    meta = json.loads(broker.get(key) or b"")

    assert (meta["status"], meta["result"], meta["task_id"]) == ("SUCCESS", 22, result.id)
    assert 0 < broker.ttl(key) <= 600


def test_plain_client_sees_what_a_running_task_tells(
    stage: Stage, client: Any, plain: Any, key: str
) -> None:
    result = client.tell_progress.delay(key)
    theirs = plain.AsyncResult(result.id)

    stage.worker.wait_until(lambda: theirs.state == "PROGRESS", "the plain client sees it")

    assert theirs.info == result.info
    stage.gates.open(key)
    assert theirs.get(timeout=15) == result.get(timeout=15)
    assert theirs.state == "SUCCESS"


def test_plain_client_hears_of_a_task_that_was_cancelled(
    stage: Stage, client: Any, plain: Any, key: str
) -> None:
    result = client.mark.apply_async((key,), countdown=60)

    result.revoke()

    theirs = plain.AsyncResult(result.id)
    with pytest.raises(TaskRevokedError):
        theirs.get(timeout=15)
    assert theirs.state == "REVOKED"


def test_worker_answers_ping(stage: Stage, client: Any) -> None:
    replies = client.app.control.ping(timeout=3, destination=[stage.worker.name])

    assert replies == [{stage.worker.name: {"ok": "pong"}}]


def test_worker_tells_what_it_knows(stage: Stage, client: Any) -> None:
    inspect = client.app.control.inspect(destination=[stage.worker.name], timeout=3)

    registered = inspect.registered()
    stats = inspect.stats()
    queues = inspect.active_queues()

    assert f"{APP}.add" in registered[stage.worker.name]
    assert stats[stage.worker.name]["pool"]["max-concurrency"] == stage.concurrency
    assert [each["name"] for each in queues[stage.worker.name]] == ["default"]


@pytest.mark.only(pool="processes", ledger="sqlite")
def test_worker_tells_what_it_runs(stage: Stage, client: Any, key: str) -> None:
    inspect = client.app.control.inspect(destination=[stage.worker.name], timeout=3)

    with stage.all_slots_taken(key) as ids:
        active = inspect.active()[stage.worker.name]

    assert {each["id"] for each in active} == set(ids)
    assert {each["name"] for each in active} == {f"{APP}.wait_for"}
    stage.wait_until_all_end()
    assert inspect.active()[stage.worker.name] == []
    assert inspect.reserved()[stage.worker.name] == []


@pytest.mark.only(pool="solo", ledger="sqlite")
def test_stock_worker_does_not_run_a_doorbell(stage: Stage, client: Any, key: str) -> None:
    environment = clean_environment({**stage.environment, "STOCK_BROKER_URL": stage.broker.url})
    command = [
        *(sys.executable, "-m", "celery", "-A", STOCK_APP, "worker", "--pool=solo"),
        *("-Q", "stocked", "-n", "stock@127.0.0.1", "--without-mingle", "--loglevel=info"),
    ]
    with Process(command, log=stage.folder / "stock.log", environment=environment) as stock:
        stock.wait_for_log("stock@127.0.0.1 ready.")

        ours = client.mark.apply_async((key,), queue="stocked")
        broker = stage.broker.client()
        stock.wait_until(lambda: not broker.llen("stocked"), "it took the doorbell")
        # Long enough for a worker that would run it: the one below takes less.
        time.sleep(0.5)
        log = stock.log_text()

    assert stage.effects.of(key) == []
    assert "succeeded" not in log
    assert stage.get(ours.id).state is TaskState.QUEUED
    stage.ledger.tasks.request_cancel(ours.id)


@pytest.mark.only(pool="solo", ledger="sqlite")
def test_message_of_a_plain_producer_does_not_run(
    stage: Stage, client: Any, plain: Any, key: str
) -> None:
    plain.send_task(f"{APP}.mark", args=(key,), queue="default")

    assert client.add.delay(1, 1).get(timeout=15) == 2

    assert stage.effects.of(key) == []
