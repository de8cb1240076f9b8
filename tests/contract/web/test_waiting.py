"""Waiting for a task's end with `Prefer: wait`, told by a real broker or by nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.user import Scope
from celeriac.engine.notices import channel_of
from celeriac.service.keys import KeyRequest, KeyService
from celeriac.web import ends
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Server, Service
from tests.fakes import make_new_worker
from tests.servers.ports import free_port
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer

WAIT = {"Prefer": "wait=30"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


class Desk:
    """A worker's place: takes the one task that is queued, and ends it."""

    def __init__(self, service: Service, broker: ValkeyServer | None = None) -> None:
        self._service = service
        self._broker = broker
        service.ledger.leases.join(make_new_worker())

    def claim(self) -> Any:
        task_id = self._service.publisher.wait_for(1)[-1]
        (claimed,) = self._service.ledger.leases.exchange(
            "worker-1", outcomes=[], wanted=[task_id], queues=["default"]
        ).claimed
        return claimed

    def complete(self, claimed: Any, *, tells: bool = True) -> None:
        outcome = Outcome(
            task_id=claimed.id,
            lease_token=claimed.lease_token,
            ending=Ending.COMPLETED,
            finished_at=self._service.clock(),
            result='"done"',
        )
        self._service.ledger.leases.exchange(
            "worker-1", outcomes=[outcome], wanted=[], queues=["default"]
        )
        if self._broker is not None and tells:
            self._broker.client().publish(channel_of(claimed.id), "{}")


@pytest.fixture
def service(tmp_path: Path, server: Server, broker: ValkeyServer) -> Iterator[Service]:
    if not broker.is_running:
        broker.start()
    with Service(tmp_path, server, broker_url=broker.url) as service:
        yield service


@pytest.fixture
def desk(service: Service, broker: ValkeyServer) -> Desk:
    return Desk(service, broker)


class Asked:
    """A request on its way, in a thread of its own."""

    def __init__(self, client: httpx.Client, method: str, path: str, **options: Any) -> None:
        self._answer: list[httpx.Response] = []

        def ask() -> None:
            self._answer.append(client.request(method, path, **options))

        self._thread = threading.Thread(target=ask)
        self._thread.start()

    @property
    def is_answered(self) -> bool:
        return bool(self._answer)

    def answer(self) -> httpx.Response:
        self._thread.join(40)
        return self._answer[0]


def submit(client: httpx.Client, **headers: str) -> Asked:
    return Asked(client, "POST", "/tasks/process", json={"data": "x"}, headers={**WAIT, **headers})


def test_a_submission_is_answered_with_the_finished_task(
    service: Service, ada: httpx.Client, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody looks by himself in time.
    monkeypatch.setattr(ends, "TRUST_SECONDS", 60.0)
    asked = submit(ada)
    claimed = desk.claim()

    assert not asked.is_answered
    desk.complete(claimed)
    answer = asked.answer()

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"
    assert "location" not in answer.headers
    assert answer.json() == ada.get(f"/tasks/{claimed.id}").json()
    assert (answer.json()["status"], answer.json()["result"]) == ("completed", "done")


def test_a_lost_word_costs_a_look_into_the_ledger(
    service: Service, ada: httpx.Client, desk: Desk
) -> None:
    asked = submit(ada)

    desk.complete(desk.claim(), tells=False)

    assert asked.answer().json()["status"] == "completed"


def test_what_does_not_end_in_time_is_accepted(service: Service, ada: httpx.Client) -> None:
    answer = ada.post("/tasks/process", json={"data": "x"}, headers={"Prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == f"/tasks/{answer.json()['task_id']}"
    assert answer.json()["status"] == "pending"


def test_whoever_finds_all_places_taken_is_answered_at_once(
    service: Service, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "MOST_WAITING", 1)
    waiting = submit(ada)
    service.publisher.wait_for(1)

    submitted = ada.post("/tasks/process", json={"data": "y"}, headers=WAIT)
    read = ada.get(submitted.headers["location"], headers=WAIT)

    assert [each.status_code for each in (submitted, read)] == [202, 202]
    applied = {each.headers["preference-applied"] for each in (submitted, read)}
    assert applied == {"respond-async"}
    assert not waiting.is_answered
    service.app.state.parts.ends.end()
    assert waiting.answer().status_code == 202


def test_without_a_preference_nobody_waits(service: Service, ada: httpx.Client) -> None:
    for headers in ({}, {"Prefer": "wait=0"}, {"Prefer": "wait=soon"}):
        answer = ada.post("/tasks/process", json={"data": "x"}, headers=headers)

        assert answer.status_code == 202
        assert "preference-applied" not in answer.headers


def test_a_refused_submission_does_not_wait(service: Service, ada: httpx.Client) -> None:
    assert_problem(
        ada.post("/tasks/process", json={"data": 7}, headers=WAIT), 422, "invalid_arguments"
    )


def test_reading_waits_too(service: Service, ada: httpx.Client, desk: Desk) -> None:
    task_id = ada.post("/tasks/process", json={"data": "x"}).json()["task_id"]
    claimed = desk.claim()
    asked = Asked(ada, "GET", f"/tasks/{task_id}", headers=WAIT)
    in_vain = ada.get(f"/tasks/{task_id}", headers={"Prefer": "wait=1"})

    desk.complete(claimed)
    answer = asked.answer()
    at_once = ada.get(f"/tasks/{task_id}", headers=WAIT)

    assert in_vain.status_code == 202
    assert in_vain.headers["preference-applied"] == "respond-async"
    assert answer.status_code == at_once.status_code == 200
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["status"] == at_once.json()["status"] == "completed"
    assert_problem(ada.get("/tasks/nothing", headers=WAIT), 404, "task_not_found")


def test_the_same_request_again_waits_for_the_first_ones_task(
    service: Service, ada: httpx.Client, desk: Desk
) -> None:
    key = {"Idempotency-Key": "k"}
    first = submit(ada, **key)
    claimed = desk.claim()
    again = submit(service.client(ada.headers["authorization"].partition(" ")[2]), **key)
    wait_until(
        lambda: [len(each) for each in _waiting(service).values()] == [2],
        "both wait for the one task",
    )

    desk.complete(claimed)

    assert first.answer().content == again.answer().content
    assert first.answer().status_code == 200


def test_nothing_is_left_behind_by_those_who_waited(
    service: Service, ada: httpx.Client, desk: Desk, broker: ValkeyServer
) -> None:
    asked = submit(ada)
    desk.complete(desk.claim())
    asked.answer()

    assert _waiting(service) == {}
    wait_until(lambda: not broker.client().pubsub_channels("celery-task-meta-*"), "nobody listens")


def test_a_broker_that_goes_away_and_comes_back_leaves_nobody_waiting(
    service: Service, ada: httpx.Client, desk: Desk, broker: ValkeyServer
) -> None:
    asked = submit(ada)
    claimed = desk.claim()
    wait_until(lambda: len(_waiting(service)) == 1, "it is waited for")

    broker.stop()
    desk.complete(claimed, tells=False)

    assert asked.answer().json()["status"] == "completed"
    broker.start()
    time.sleep(1.1)
    second = submit(ada)
    service.publisher.wait_for(2)
    desk.complete(desk.claim())
    assert second.answer().status_code == 200


@pytest.mark.parametrize("url", ["memory://", "redis://127.0.0.1:{port}/0"])
def test_without_a_broker_the_ledger_is_looked_into(
    tmp_path: Path, server: Server, url: str
) -> None:
    with Service(tmp_path, server, broker_url=url.format(port=free_port())) as service:
        ada = service.signed_in("ada")
        desk = Desk(service)
        asked = submit(ada)

        desk.complete(desk.claim())

        assert asked.answer().status_code == 200


def test_a_service_that_is_to_end_keeps_nobody_waiting(
    service: Service, ada: httpx.Client, desk: Desk
) -> None:
    asked = submit(ada)
    desk.claim()
    wait_until(lambda: len(_waiting(service)) == 1, "it is waited for")

    service.app.state.parts.ends.end()

    assert asked.answer().status_code == 202


def test_whoever_may_submit_and_not_read_is_told_that_it_was_accepted(
    service: Service, ada: httpx.Client, desk: Desk
) -> None:
    request = KeyRequest(user="ada", label="only submits", scopes=frozenset({Scope.SUBMIT}))
    made = KeyService(service.ledger, now=service.clock).create_key(request)
    asked = submit(service.client(made.text))
    desk.complete(desk.claim())

    assert asked.answer().status_code == 202


def _waiting(service: Service) -> dict[str, Any]:
    waiting: dict[str, Any] = service.app.state.parts.ends._waiting
    return waiting


def test_whoever_ends_the_service_from_a_thread_ends_the_waiting_too(
    service: Service, ada: httpx.Client, desk: Desk
) -> None:
    asked = submit(ada)
    desk.claim()
    wait_until(lambda: len(_waiting(service)) == 1, "it is waited for")

    service.app.state.end_waits()

    assert asked.answer().status_code == 202
