"""The same request a second time, known by its `Idempotency-Key`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from celeriac.core.page import TaskFilter
from celeriac.errors import IdempotencyKeyInFlightError, LedgerUnavailableError
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
JSON_KEY = {**KEY, "Content-Type": "application/json"}


def kept(service: Service) -> list[str]:
    page = service.ledger.tasks.list(TaskFilter(), after=None, limit=200)
    return [task.id for task in page.items]


def submit(client: httpx.Client, data: str = "x", path: str = "/tasks/process") -> httpx.Response:
    return client.post(path, json={"data": data}, headers=KEY)


def a_while_later(service: Service, **by: float) -> httpx.Client:
    """Return a client of ada's after some time, with a token that is good then."""
    service.clock.advance(**by)
    user = service.ledger.users.find("ada")
    assert user is not None
    return service.client(service.tokens.issue(user).text)


def test_the_same_request_gets_the_same_answer_and_makes_one_task(
    service: Service, ada: httpx.Client
) -> None:
    first = submit(ada)
    later = a_while_later(service, hours=23)
    again = submit(later)

    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert kept(service) == [first.json()["task_id"]]
    assert len(service.publisher.wait_for(1)) == 1


def test_fifty_at_once_get_one_answer(service: Service, ada: httpx.Client) -> None:
    token = ada.headers["authorization"].removeprefix("Bearer ")
    together = threading.Barrier(50)
    answers: list[httpx.Response] = []

    def ask() -> None:
        client = service.client(token)
        together.wait(20)
        answers.append(submit(client))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [202] * 50
    assert len({answer.content for answer in answers}) == 1
    assert len(kept(service)) == 1


def test_after_a_day_the_key_is_new(service: Service, ada: httpx.Client) -> None:
    first = submit(ada)
    later = a_while_later(service, hours=24)

    assert submit(later).json()["task_id"] != first.json()["task_id"]


@pytest.mark.parametrize(
    "other",
    [
        lambda client: submit(client, "y"),
        lambda client: submit(client, path="/tasks/report"),
        lambda client: submit(client, path="/tasks/process?priority=9"),
        lambda client: client.post("/tasks/process", content=b'{"data": "x" }', headers=JSON_KEY),
        lambda client: client.post(
            "/tasks:batch",
            json={"tasks": [{"name": "process", "arguments": {"data": "x"}}]},
            headers=KEY,
        ),
    ],
)
def test_another_request_with_the_same_key_is_refused(
    service: Service, ada: httpx.Client, other: Callable[[httpx.Client], httpx.Response]
) -> None:
    submit(ada)

    body = assert_problem(other(ada), 422, "idempotency_key_reused")

    assert body["fix"]
    assert len(kept(service)) == 1


def test_two_callers_may_have_the_same_key(service: Service, ada: httpx.Client) -> None:
    eve = service.signed_in("eve")

    assert submit(ada).json()["task_id"] != submit(eve).json()["task_id"]
    assert len(kept(service)) == 2


def test_a_refused_request_uses_no_key_up(service: Service, ada: httpx.Client) -> None:
    refused = ada.post("/tasks/process", json={"data": 7}, headers=KEY)
    service.switched.error = LedgerUnavailableError("gone")
    unavailable = submit(ada)
    service.switched.error = None

    assert refused.status_code == 422
    assert unavailable.status_code == 503
    assert submit(ada).status_code == 202


def test_what_was_accepted_stays_so_when_its_moment_has_passed(
    service: Service, ada: httpx.Client
) -> None:
    path = f"/tasks/process?expires_at={(service.clock() + timedelta(hours=1)).isoformat()[:19]}Z"
    first = submit(ada, path=path)
    later = a_while_later(service, hours=2)

    again = submit(later, path=path)
    unknown = later.post(path, json={"data": "x"}, headers={"Idempotency-Key": "another"})

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert_problem(unknown, 422, "invalid_option")
    assert len(kept(service)) == 1


def test_a_batch_that_was_accepted_stays_so_when_its_moment_has_passed(
    service: Service, ada: httpx.Client
) -> None:
    expires_at = f"{(service.clock() + timedelta(hours=1)).isoformat()[:19]}Z"
    good = {"name": "process", "arguments": {"data": "x"}}
    batch = {"tasks": [good, {**good, "options": {"expires_at": expires_at}}]}
    first = ada.post("/tasks:batch?atomic=true", json=batch, headers=KEY)
    later = a_while_later(service, hours=2)

    again = later.post("/tasks:batch?atomic=true", json=batch, headers=KEY)
    unknown = later.post(
        "/tasks:batch?atomic=true", json=batch, headers={"Idempotency-Key": "another"}
    )

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    body = assert_problem(unknown, 422, "invalid_batch")
    assert pointers(body) == ["/tasks/1/options/expires_at"]
    assert len(kept(service)) == 2


def test_a_key_may_stand_in_quotation_marks(service: Service, ada: httpx.Client) -> None:
    bare = ada.post("/tasks/process", json={"data": "x"}, headers={"Idempotency-Key": "abc"})
    quoted = ada.post("/tasks/process", json={"data": "x"}, headers={"Idempotency-Key": '"abc"'})

    assert bare.content == quoted.content


@pytest.mark.parametrize("key", ["", "x" * 256, '"', '""', "a\tb", "a b", 'a"b', "gr\xfc\xdf"])
def test_a_key_that_is_none_is_refused(service: Service, ada: httpx.Client, key: str) -> None:
    response = ada.post(
        "/tasks/process",
        json={"data": "x"},
        headers=[(b"Idempotency-Key", key.encode("latin-1"))],
    )

    assert_problem(response, 400, "broken_header")
    assert kept(service) == []


def test_who_may_not_come_in_is_told_that_before_anything_of_the_key(
    service: Service, ada: httpx.Client
) -> None:
    service.ledger.users.sign_out("ada")

    response = ada.post("/tasks/process", json={"data": "x"}, headers={"Idempotency-Key": "a\tb"})

    assert_problem(response, 401, "not_authenticated")


def test_two_keys_are_none(service: Service, ada: httpx.Client) -> None:
    keys = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    assert_problem(
        ada.post("/tasks/process", json={"data": "x"}, headers=keys), 400, "broken_header"
    )


def test_a_key_that_stays_in_flight_is_a_conflict(
    service: Service, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.service.accepting._PATIENCE_SECONDS", 0.05)
    service.ledger.submissions.accept = lambda submissions, *_: [  # type: ignore[method-assign]
        IdempotencyKeyInFlightError() for _ in submissions
    ]

    assert_problem(submit(ada), 409, "idempotency_key_in_flight")


def test_a_retry_is_known_again(service: Service, ada: httpx.Client) -> None:
    task_id = ada.post("/tasks/process", json={"data": "x"}).json()["task_id"]
    ada.post(f"/tasks/{task_id}/cancel")

    first, again = (ada.post(f"/tasks/{task_id}/retry", headers=KEY) for _ in range(2))
    other = ada.post(f"/tasks/{task_id}/retry", json={"data": "y"}, headers=KEY)

    assert first.status_code == 202
    assert first.content == again.content
    assert_problem(other, 422, "idempotency_key_reused")
    assert len(kept(service)) == 2


def test_an_equal_task_within_its_time_is_the_one_that_is_there(
    service: Service, ada: httpx.Client
) -> None:
    path = "/tasks/process?unique_for_seconds=60"

    first = ada.post(path, json={"data": "x"})
    same = ada.post(path, json={"data": "x"})
    other = ada.post(path, json={"data": "y"})

    assert first.json()["task_id"] == same.json()["task_id"] != other.json()["task_id"]
    assert same.status_code == 202


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "2592001", "x"])
def test_a_time_to_be_unique_has_its_bounds(ada: httpx.Client, seconds: str) -> None:
    response = ada.post(f"/tasks/process?unique_for_seconds={seconds}", json={"data": "x"})

    body = assert_problem(response, 422, "invalid_option")
    assert [each["pointer"] for each in body["errors"]] == ["/unique_for_seconds"]
