"""What happens, told from a real worker by a real service."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.web.streams import watching
from tests.servers.services import ServiceProcess, add_user
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

PASSWORD = "four walnut umbrellas dancing"


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, broker: ValkeyServer
) -> Iterator[dict[str, str]]:
    """A worker that runs the samples, with a user."""
    folder = tmp_path_factory.mktemp("events")
    environment = {
        "CELERIAC_DATA_DIR": str(folder / "data"),
        "CELERIAC_BROKER_URL": broker.url,
        "CELERIAC_PROCESS_SECONDS": "1.5",
        "CELERIAC_RATE_LIMIT": "10000/second",
        "CELERIAC_LOGIN_LIMIT": "10000/second",
    }
    broker.client().flushall()
    add_user("ada", PASSWORD, folder=folder, environment=environment, role="submitter")
    worker = WorkerProcess("celery_app", folder=folder, environment=environment)
    with worker:
        worker.wait_ready()
        yield environment


@pytest.fixture
def service(tmp_path: Path, environment: dict[str, str]) -> Iterator[ServiceProcess]:
    with ServiceProcess(folder=tmp_path, environment=environment) as service:
        service.wait_until(service.is_ready, "it is ready", seconds=30)
        yield service


@pytest.fixture
def ada(service: ServiceProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=20) as client:
        form = {"username": "ada", "password": PASSWORD}
        token = client.post("/token", data=form).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        yield client


def test_a_task_is_followed_from_its_start_to_its_end(ada: httpx.Client) -> None:
    with watching(ada, "/events?topics=tasks") as everything:
        task_id = ada.post("/tasks/process", json={"data": "x"}).json()["task_id"]
        with watching(ada, f"/tasks/{task_id}/events") as stream:
            told = stream.rest()
        listed = everything.next_list()

    states = [each.data["state"] for each in told]
    progress = [each.data["progress"]["done"] for each in told if each.data["progress"]]
    versions = [int(each.id) for each in told]
    assert states[-1] == "completed"
    assert "running" in states
    assert progress
    assert progress == sorted(progress)
    assert versions == sorted(set(versions))
    assert listed["ids"] == [task_id]


def test_a_service_ends_at_once_although_somebody_watches(
    service: ServiceProcess, ada: httpx.Client
) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(watching(ada, "/events?topics=tasks")) for _ in range(3)]
        service.signal(signal.SIGTERM)
        for stream in streams:
            stream.rest()
        code = service.wait(seconds=10)

    assert code in (0, -signal.SIGTERM), service.log_text()
    assert "Traceback" not in service.log_text()


def test_a_broker_that_comes_back_is_heard_again(
    service: ServiceProcess, ada: httpx.Client, broker: ValkeyServer
) -> None:
    with watching(ada, "/events?topics=tasks") as stream:
        broker.restart()
        service.wait_for_log("the broker is away")
        task_id = ada.post("/tasks/process", json={"data": "x"}).json()["task_id"]

        while task_id not in stream.next_list()["ids"]:
            continue
