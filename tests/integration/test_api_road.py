"""The whole road: HTTP, ledger, doorbell, claim, run, completion, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.ledger.open import Ledger, open_ledger
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.services import ServiceProcess, add_user
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

PASSWORD = "correct horse battery staple 7"


class Road:
    """Servers of its own, because some tests take one of them away."""

    def __init__(
        self,
        broker: ValkeyServer,
        database: PostgresServer,
        service: ServiceProcess,
        worker: WorkerProcess,
        ledger: Ledger,
        http: httpx.Client,
    ) -> None:
        self.broker = broker
        self.database = database
        self.service = service
        self.worker = worker
        self.ledger = ledger
        self.http = http

    def submit(self, name: str, arguments: dict[str, Any], **options: Any) -> str:
        """Submit a task and return its id."""
        answer = self.http.post(f"/tasks/{name}", json=arguments, params=options)
        assert answer.status_code == 202, answer.text
        assert answer.json()["status"] == "pending"
        return str(answer.json()["task_id"])

    def wait_for(
        self, task_id: str, predicate: Callable[[dict[str, Any]], bool], *, seconds: float = 20
    ) -> dict[str, Any]:
        """Read a task again and again until something is true of it."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.http.get(f"/tasks/{task_id}")
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            if predicate(body):
                return body
            if time.monotonic() > deadline:
                raise self.worker.failed(f"left the task as {body}")
            time.sleep(0.05)

    def wait_for_end(self, task_id: str, *, seconds: float = 20) -> dict[str, Any]:
        """Read a task until it has ended."""
        return self.wait_for(task_id, lambda body: body["status"] != "pending", seconds=seconds)


@pytest.fixture(scope="module")
def running_road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """A service, a worker, a broker and a PostgreSQL, started once for this module."""
    folder = tmp_path_factory.mktemp("road")
    with ValkeyServer(folder / "valkey") as broker, PostgresServer() as database:
        environment = {
            "CELERIAC_DATA_DIR": str(folder / "data"),
            "CELERIAC_BROKER_URL": broker.url,
            "CELERIAC_DATABASE_URL": database.create_database(),
            "CELERIAC_RATE_LIMIT": "100000/minute",
            "CELERIAC_RING_AGAIN_SECONDS": "2",
            "CELERIAC_PROCESS_SECONDS": "2",
        }
        add_user("user1", PASSWORD, folder=folder, environment=environment, role="submitter")
        ledger = open_ledger(environment["CELERIAC_DATABASE_URL"])
        service = ServiceProcess(folder=folder, environment=environment)
        worker = WorkerProcess(
            "celery_app", folder=folder, environment=environment, arguments=["--without-mingle"]
        )
        with service, worker, httpx.Client(base_url=service.url, timeout=20) as http:
            service.wait_until(service.is_ready, "it is ready", seconds=30)
            worker.wait_ready()
            form = {"username": "user1", "password": PASSWORD}
            answer = http.post("/token", data=form)
            assert answer.status_code == 200, answer.text
            http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield Road(broker, database, service, worker, ledger, http)
        ledger.close()


@pytest.fixture
def road(running_road: Road) -> Road:
    """The road with every server up and the worker running."""
    for server in (running_road.broker, running_road.database):
        if not server.is_running:
            server.start()
    if not running_road.worker.is_running:
        running_road.worker.start_ready()
    wait_until(running_road.service.is_ready, "the service is ready")
    return running_road


def test_submitted_task_is_pending_and_then_completed(road: Road) -> None:
    task_id = road.submit("process", {"data": "example data"})

    body = road.wait_for_end(task_id)

    assert body["status"] == "completed"
    assert body["result"] == "Processed: example data"
    task = road.ledger.tasks.get(TaskId(task_id))
    assert task.state is TaskState.COMPLETED
    assert task.submitted_by == "user1"


def test_who_would_rather_wait_gets_the_finished_task(road: Road) -> None:
    answer = road.http.post(
        "/tasks/process", json={"data": "x"}, headers={"Prefer": "wait=20"}, timeout=40
    )
    again = road.http.get(f"/tasks/{answer.json()['task_id']}", headers={"Prefer": "wait=20"})

    assert answer.status_code == again.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["result"] == "Processed: x"
    assert again.json() == answer.json()


def test_who_waits_in_vain_is_told_that_it_was_accepted(road: Road) -> None:
    answer = road.http.post("/tasks/process", json={"data": "x"}, headers={"Prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert road.wait_for_end(answer.json()["task_id"])["status"] == "completed"


def test_submitted_value_that_looks_like_celerys_typed_json_stays_text(road: Road) -> None:
    text = '{"__type__": "decimal", "__value__": "1.0"}'

    task_id = road.submit("process", {"data": text})

    assert road.wait_for_end(task_id)["result"] == f"Processed: {text}"


def test_task_of_an_unknown_name_is_not_found(road: Road) -> None:
    answer = road.http.post("/tasks/no.such.task", json={})

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "task_name_not_found"


def test_task_that_nobody_submitted_is_not_found(road: Road) -> None:
    answer = road.http.get("/tasks/no-such-id")

    assert answer.status_code == 404
    assert answer.json()["code"] == "task_not_found"


def test_cancelled_task_never_runs(road: Road) -> None:
    task_id = road.submit("process", {"data": "x"}, queue="high_priority")

    answer = road.http.post(f"/tasks/{task_id}/cancel")

    assert answer.status_code == 200
    assert road.wait_for_end(task_id)["status"] == "cancelled"
    assert road.ledger.tasks.attempts(TaskId(task_id)) == ()
    again = road.http.post(f"/tasks/{task_id}/cancel")
    assert again.status_code == 409
    assert again.json()["code"] == "task_already_final"


def test_running_task_is_cancelled(road: Road) -> None:
    # Long enough to be asked, and to be stopped, while it runs on any machine.
    task_id = road.submit("process", {"data": "too long"})
    road.wait_for(task_id, lambda body: body["state"] == "running")

    answer = road.http.post(f"/tasks/{task_id}/cancel")

    assert answer.status_code == 200
    assert road.wait_for_end(task_id)["status"] == "cancelled"


def test_task_is_accepted_while_the_broker_is_away_and_runs_when_it_is_back(road: Road) -> None:
    road.broker.kill()

    sent_at = time.monotonic()
    task_ids = [road.submit("process", {"data": str(each)}) for each in range(3)]
    took = time.monotonic() - sent_at

    # Nobody who submits waits for a broker that is away.
    assert took < 5
    assert {road.http.get(f"/tasks/{each}").json()["status"] for each in task_ids} == {"pending"}
    road.broker.start()
    ended = [road.wait_for_end(each, seconds=45) for each in task_ids]
    assert [each["result"] for each in ended] == [f"Processed: {each}" for each in range(3)]


def test_nothing_is_accepted_while_the_ledger_is_away(road: Road) -> None:
    before = road.submit("process", {"data": "before"})
    road.wait_for_end(before)
    road.database.stop()

    answer = road.http.post("/tasks/process", json={"data": "meanwhile"})

    assert answer.status_code == 503
    assert answer.json()["code"] == "ledger_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert road.http.get("/readyz").status_code == 503
    assert road.http.get("/healthz").status_code == 200

    road.database.start()
    wait_until(road.service.is_ready, "the service is ready again")
    after = road.submit("process", {"data": "after"})
    assert road.wait_for_end(after, seconds=45)["result"] == "Processed: after"
    assert road.http.get(f"/tasks/{before}").json()["status"] == "completed"


def test_accepted_tasks_survive_the_death_of_the_database(road: Road) -> None:
    task_ids = [road.submit("process", {"data": str(each)}) for each in range(20)]

    road.database.restart()

    ended = [road.wait_for_end(each, seconds=60) for each in task_ids]
    assert [each["result"] for each in ended] == [f"Processed: {each}" for each in range(20)]
