"""Two processes of the service on one ledger: what is promised when answers are lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.task import TaskId
from celeriac.ledger.open import Ledger, open_ledger
from tests.servers.postgres import PostgresServer
from tests.servers.services import ServiceProcess, add_user
from tests.servers.valkey import ValkeyServer

PASSWORD = "correct horse battery staple 7"


class Pair:
    """Two services, and somebody who may submit."""

    def __init__(self, services: list[ServiceProcess], ledger: Ledger) -> None:
        self.services = services
        self.ledger = ledger
        self.token = ""

    def client(self, number: int) -> httpx.Client:
        """Return a client of one of the two."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = self.services[number % len(self.services)].url
        return httpx.Client(base_url=url, headers=headers, timeout=30)

    def ids(self, queue: str) -> list[str]:
        """Return the tasks of a queue, at most a page of them."""
        page = self.ledger.tasks.list(TaskFilter(queue=queue), after=None, limit=200)
        return [task.id for task in page.items]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp(f"pair-{request.param}")
    with ExitStack() as stack:
        broker = stack.enter_context(ValkeyServer(folder / "valkey"))
        url = f"sqlite:///{folder / 'ledger.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(PostgresServer()).create_database()
        environment = {
            "CELERIAC_DATA_DIR": str(folder / "data"),
            "CELERIAC_BROKER_URL": broker.url,
            "CELERIAC_DATABASE_URL": url,
            "CELERIAC_RATE_LIMIT": "100000/minute",
        }
        add_user("ada", PASSWORD, folder=folder, environment=environment, role="submitter")
        services = [
            ServiceProcess(folder=folder, environment=environment, name=f"service-{number}")
            for number in range(2)
        ]
        for service in services:
            stack.enter_context(service)
        for service in services:
            service.wait_until(service.is_ready, "it is ready", seconds=60)
        ledger = open_ledger(url)
        stack.callback(ledger.close)
        pair = Pair(services, ledger)
        form = {"username": "ada", "password": PASSWORD}
        answer = httpx.post(f"{services[0].url}/token", data=form, timeout=30)
        pair.token = answer.raise_for_status().json()["access_token"]
        yield pair


def ask_all(pair: Pair, count: int, path: str, body: Any, key: str) -> list[httpx.Response]:
    """Send the same request so often at once, to the one and the other."""
    together = threading.Barrier(count)
    answers: list[httpx.Response] = []

    def ask(number: int) -> None:
        with pair.client(number) as client:
            together.wait(30)
            answers.append(client.post(path, json=body, headers={"Idempotency-Key": key}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_fifty_posts_with_one_key_are_fifty_equal_answers_and_one_task(pair: Pair) -> None:
    answers = ask_all(pair, 50, "/tasks/process?queue=fifty", {"data": "x"}, "fifty")

    assert [answer.status_code for answer in answers] == [202] * 50, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    assert pair.ids("fifty") == [answers[0].json()["task_id"]]


def test_a_batch_with_one_key_is_accepted_once(pair: Pair) -> None:
    task = {"name": "process", "arguments": {"data": "x"}, "options": {"queue": "batch"}}

    answers = ask_all(pair, 10, "/tasks:batch", {"tasks": [task] * 20}, "batch")

    assert [answer.status_code for answer in answers] == [200] * 10, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    assert len(pair.ids("batch")) == 20


def test_an_equal_task_is_one_for_all_processes(pair: Pair) -> None:
    path = "/tasks/process?queue=unique&unique_for_seconds=600"
    together = threading.Barrier(20)
    found: list[str] = []

    def ask(number: int) -> None:
        with pair.client(number) as client:
            together.wait(30)
            found.append(client.post(path, json={"data": "x"}).json()["task_id"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(found) == set(pair.ids("unique"))
    assert len(set(found)) == 1


def test_a_key_is_known_after_a_killed_process_came_back(pair: Pair) -> None:
    path = "/tasks/process?queue=restart"
    headers = {"Idempotency-Key": "restart"}
    with pair.client(0) as client:
        first = client.post(path, json={"data": "x"}, headers=headers)

    for service in pair.services:
        service.signal(signal.SIGKILL)
        service.wait(seconds=30)
        service.start_ready(seconds=60)
    with pair.client(1) as client:
        again = client.post(path, json={"data": "x"}, headers=headers)
        other = client.post(path, json={"data": "y"}, headers=headers)

    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert len(pair.ids("restart")) == 1


def test_what_comes_together_is_answered_for_each_and_kept(pair: Pair) -> None:
    """A bad one among many, and every 202 has its row."""
    together = threading.Barrier(32)
    answers: list[tuple[bool, httpx.Response]] = []

    def ask(number: int) -> None:
        with pair.client(number) as client:
            together.wait(30)
            for turn in range(4):
                is_bad = (number + turn) % 8 == 0
                data: Any = 7 if is_bad else "x"
                answer = client.post("/tasks/process?queue=mixed", json={"data": data})
                answers.append((is_bad, answer))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {(is_bad, answer.status_code) for is_bad, answer in answers} == {
        (True, 422),
        (False, 202),
    }
    accepted = {answer.json()["task_id"] for is_bad, answer in answers if not is_bad}
    assert accepted == set(pair.ids("mixed"))
    assert len(accepted) == 112


def test_a_service_that_is_asked_to_end_keeps_what_it_accepted(
    pair: Pair,
) -> None:
    accepted: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with pair.client(0) as client:
            while not stop.is_set():
                try:
                    answer = client.post("/tasks/process?queue=ending", json={"data": "x"})
                except httpx.HTTPError:
                    return
                if answer.status_code == 202:
                    accepted.append(answer.json()["task_id"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    first = pair.services[0]
    first.wait_until(lambda: len(accepted) > 20, "it accepts tasks", seconds=30)
    first.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    stop.set()

    assert first.wait(seconds=30) is not None
    found = pair.ledger.tasks.find_many([TaskId(each) for each in accepted])
    first.start_ready(seconds=60)
    assert len(found) == len(set(accepted)) == len(accepted)
