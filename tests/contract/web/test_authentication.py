from __future__ import annotations

from datetime import timedelta

import httpx
import jwt
import pytest

from celeriac.core.user import Role
from celeriac.service.tokens import Tokens, key_id
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import KEY, Service
from tests.fakes import make_user

# Every route that asks for a token, with a body where it takes one.
ROUTES = [
    ("POST", "/tasks/process"),
    ("POST", "/tasks:batch"),
    ("GET", "/tasks"),
    ("GET", "/tasks/some-id"),
    ("POST", "/tasks/some-id/cancel"),
    ("POST", "/tasks/some-id/retry"),
    ("GET", "/events"),
    ("GET", "/tasks/some-id/events"),
    ("GET", "/tasks/some-id/result"),
    ("GET", "/tasks/some-id/files/some-id"),
    ("GET", "/queues"),
    ("POST", "/queues/default/pause"),
    ("POST", "/queues/default/resume"),
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("DELETE", "/keys/some-id"),
    ("GET", "/task-types"),
    ("GET", "/task-types/process"),
]
PUBLIC = {"/token", "/healthz", "/readyz", "/openapi.json"}


def test_the_routes_of_these_tests_are_all_there_are(stranger: httpx.Client) -> None:
    paths = stranger.get("/openapi.json").json()["paths"]

    documented = {
        (
            method.upper(),
            path.replace("{task_id}", "some-id")
            .replace("{key_id}", "some-id")
            .replace("{file_id}", "some-id")
            .replace("{queue}", "default")
            .replace("{name}", "process"),
        )
        for path, operations in paths.items()
        for method in operations
        if path not in PUBLIC
    }

    # The generic submit, and the path of its own that every other task has.
    documented -= {("POST", "/tasks/some-id"), ("POST", "/tasks/report")}
    assert documented == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_a_token(stranger: httpx.Client, method: str, path: str) -> None:
    response = stranger.request(method, path)

    assert_problem(response, 401, "not_authenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="celeriac"'


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_with_a_forged_token(service: Service, method: str, path: str) -> None:
    good = jwt.decode(service.add_user("ada"), options={"verify_signature": False})
    headers = {"kid": key_id(KEY)}
    unsigned = jwt.encode(good, "", algorithm="none", headers=headers)
    other_key = jwt.encode(good, KEY[::-1], algorithm="HS256", headers=headers)

    for token in (unsigned, other_key, "x", "a.b.c"):
        response = service.client(token).request(method, path)

        assert_problem(response, 401, "not_authenticated")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header",
    [
        "Basic YWRhOnBhc3N3b3Jk",
        "Bearer",
        "Token abc",
        "",
        "Bearer \xff\xfe",
    ],
)
def test_another_scheme_lets_nobody_in(stranger: httpx.Client, header: str) -> None:
    response = stranger.get("/tasks", headers={b"Authorization": header.encode("latin-1")})

    assert_problem(response, 401, "not_authenticated")


def test_two_tokens_are_no_token(service: Service) -> None:
    token = f"Bearer {service.add_user('ada')}"

    response = service.client().get(
        "/tasks", headers=[("Authorization", token), ("Authorization", token)]
    )

    assert_problem(response, 401, "not_authenticated")


def test_the_schemes_name_may_be_written_in_any_case(service: Service) -> None:
    token = service.add_user("ada")

    response = service.client().get("/tasks", headers={"Authorization": f"bearer {token}"})

    assert response.status_code == 200


def test_a_token_in_the_address_lets_nobody_in(service: Service) -> None:
    token = service.add_user("ada")

    response = service.client().get("/task-types", params={"access_token": token})

    assert_problem(response, 401, "not_authenticated")


def test_an_expired_token_lets_nobody_in(service: Service, ada: httpx.Client) -> None:
    assert ada.get("/tasks").status_code == 200

    service.clock.advance(minutes=16)

    assert_problem(ada.get("/tasks"), 401, "not_authenticated")


def test_a_session_that_was_ended_is_dead_at_the_next_request(
    service: Service, ada: httpx.Client
) -> None:
    assert ada.get("/tasks").status_code == 200

    service.ledger.users.sign_out("ada")

    assert_problem(ada.get("/tasks"), 401, "not_authenticated")


def test_a_disabled_user_is_out_at_the_next_request(service: Service, ada: httpx.Client) -> None:
    assert ada.get("/tasks").status_code == 200

    service.ledger.users.disable("ada")

    assert_problem(ada.post("/tasks/process", json={"data": "x"}), 401, "not_authenticated")


def test_a_token_of_somebody_who_never_was_lets_nobody_in(service: Service) -> None:
    tokens = Tokens([KEY], lifetime=timedelta(minutes=15), now=service.clock)
    token = tokens.issue(make_user(name="ghost", role=Role.ADMIN)).text

    assert_problem(service.client(token).get("/tasks"), 401, "not_authenticated")
