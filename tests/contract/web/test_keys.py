from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from celeriac.core.user import Role, Scope
from celeriac.service.keys import KeyRequest, KeyService
from tests.contract.web.problem import assert_problem, pointers
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

    refused = assert_problem(client.post("/tasks/process", json={}), 404, "task_name_not_found")
    # Nor are they among those that may have been meant.
    assert "did you mean" not in refused["fix"]
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


def make(client: httpx.Client, **wish: Any) -> httpx.Response:
    return client.post("/keys", json={"label": "ci", "scopes": ["read"], **wish})


def test_somebody_makes_a_key_uses_it_and_revokes_it(service: Service, ada: httpx.Client) -> None:
    made = make(ada, scopes=["submit"], task_patterns=["proc*"], expires_in_seconds=3600)
    assert made.status_code == 201, made.text
    body = made.json()
    program = service.client(body["key"])

    accepted = program.post("/tasks/process", json={"data": "x"})
    listed = ada.get("/keys")
    revoked = ada.delete(f"/keys/{body['id']}")
    again = program.post("/tasks/process", json={"data": "x"})

    assert accepted.status_code == 202
    assert body["key"] not in listed.text
    (shown,) = listed.json()["keys"]
    assert (shown["label"], shown["scopes"], shown["task_patterns"]) == (
        "ci",
        ["submit"],
        ["proc*"],
    )
    assert shown["last_used_at"] is not None
    assert revoked.json()["revoked_at"] is not None
    assert_problem(again, 401, "not_authenticated")


def test_nobody_sees_or_revokes_a_strangers_key(service: Service, ada: httpx.Client) -> None:
    key_id = make(ada).json()["id"]
    bob = service.signed_in("bob")

    assert bob.get("/keys").json() == {"keys": []}
    assert_problem(bob.delete(f"/keys/{key_id}"), 404, "key_not_found")


def test_nobody_makes_a_key_that_may_more_than_they(ada: httpx.Client) -> None:
    refused = make(ada, scopes=["read", "operate"])

    assert_problem(refused, 403, "not_permitted")
    assert 'scope="operate"' in refused.headers["www-authenticate"]


def test_a_key_makes_no_other_and_revokes_only_itself(service: Service) -> None:
    client = key_client(service)
    other = KeyService(service.ledger, now=service.clock).list_keys("ada")
    spare = key_client(service)
    own_id = next(
        key.id
        for key in KeyService(service.ledger, now=service.clock).list_keys("ada")
        if key not in other
    )

    assert_problem(make(client), 403, "not_permitted")
    assert_problem(client.delete(f"/keys/{own_id}"), 403, "not_permitted")
    assert spare.delete(f"/keys/{own_id}").status_code == 200
    assert_problem(spare.get("/keys"), 401, "not_authenticated")


def test_an_admins_key_makes_others_unless_it_is_for_some_tasks(service: Service) -> None:
    service.add_user("ada", Role.ADMIN)

    assert make(key_client(service, scopes=frozenset(Scope))).status_code == 201
    narrow = key_client(service, scopes=frozenset(Scope), task_patterns=("a*",))
    assert_problem(make(narrow), 403, "not_permitted")


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"label": ""}, "/label"),
        ({"label": 7}, "/label"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["king"]}, "/scopes/0"),
        ({"task_patterns": "image.*"}, "/task_patterns"),
        ({"expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"expires_in_seconds": 1e12}, "/expires_in_seconds"),
        ({"more": 1}, "/more"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_by_its_field(
    ada: httpx.Client, wish: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(make(ada, **wish), 422, "invalid_body")

    assert pointers(problem) == [pointer]


def test_a_pattern_that_is_none_is_refused(ada: httpx.Client) -> None:
    assert_problem(make(ada, task_patterns=["[a]"]), 422, "invalid_option")


def test_requests_with_a_key_are_counted(tmp_path: Any, server: Any) -> None:
    with Service(tmp_path, server, rate_limit="3/minute") as service:
        client = key_client(service)

        statuses = [client.get("/tasks").status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
