from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from celeriac.core.user import Role, Scope
from celeriac.service.keys import KeyRequest, KeyService
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Service


def key_client(service: Service, **changes: Any) -> httpx.Client:
    """Return a client with a key of an operator."""
    if service.ledger.users.find("ada") is None:
        service.add_user("ada", Role.OPERATOR)
    given = {"scopes": frozenset({Scope.READ, Scope.SUBMIT}), **changes}
    request = KeyRequest(user="ada", label="ci", **given)
    return service.client(KeyService(service.ledger, now=service.clock).create_key(request).text)


def test_a_key_gets_in_where_a_token_does(service: Service) -> None:
    client = key_client(service)

    accepted = client.post("/tasks/process", json={"data": "x"})

    assert accepted.status_code == 202
    assert accepted.json()["submitted_by"] == "ada"
    assert client.get(accepted.headers["location"]).status_code == 200


def test_a_key_without_a_right_is_refused_and_the_right_named(service: Service) -> None:
    client = key_client(service, scopes=frozenset({Scope.SUBMIT}))

    accepted = client.post("/tasks/process", json={"data": "x"})
    read = client.get(accepted.headers["location"])

    assert_problem(read, 403, "not_permitted")
    assert 'scope="read"' in read.headers["www-authenticate"]


def test_for_a_key_of_some_task_names_there_are_no_others(service: Service) -> None:
    everything = key_client(service)
    task_id = everything.post("/tasks/process", json={"data": "x"}).json()["task_id"]
    own_id = everything.post("/tasks/report", json={"data": "x"}).json()["task_id"]
    client = key_client(service, task_patterns=("rep*",))

    assert_problem(client.post("/tasks/process", json={}), 404, "task_name_not_found")
    assert_problem(client.get("/task-types/process"), 404, "task_name_not_found")
    assert_problem(client.get(f"/tasks/{task_id}"), 404, "task_not_found")
    assert_problem(client.post(f"/tasks/{task_id}/cancel"), 404, "task_not_found")
    assert [each["task_id"] for each in client.get("/tasks").json()["tasks"]] == [own_id]
    names = [each["name"] for each in client.get("/task-types").json()["task_types"]]
    assert names == ["report"]


def test_a_key_that_has_expired_is_refused_at_the_next_request(service: Service) -> None:
    client = key_client(service, lifetime=timedelta(hours=1))
    assert client.get("/tasks").status_code == 200

    service.clock.advance(hours=1)

    assert_problem(client.get("/tasks"), 401, "not_authenticated")


@pytest.mark.parametrize("text", ["ck_nonsense", "ck_", "ck_" + "x" * 10_000])
def test_a_key_that_nobody_gave_out_is_refused(service: Service, text: str) -> None:
    assert_problem(service.client(text).get("/tasks"), 401, "not_authenticated")


def test_requests_with_a_key_are_counted(tmp_path: Any, server: Any) -> None:
    with Service(tmp_path, server, rate_limit="3/minute") as service:
        client = key_client(service)

        statuses = [client.get("/tasks").status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
