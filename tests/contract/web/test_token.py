from __future__ import annotations

import httpx
import pytest

from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import PASSWORD, Service


def test_a_name_and_its_password_give_a_token_that_lets_in(
    service: Service, stranger: httpx.Client
) -> None:
    service.add_user("ada")

    response = stranger.post("/token", data={"username": "ada", "password": PASSWORD})

    assert response.status_code == 200
    body = response.json()
    assert body.keys() == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    assert response.headers["cache-control"] == "no-store"
    assert service.client(body["access_token"]).get("/tasks").status_code == 200


def test_what_oauth2_clients_send_beside_is_taken(service: Service, stranger: httpx.Client) -> None:
    service.add_user("ada")
    form = {
        "grant_type": "password",
        "username": "ada",
        "password": PASSWORD,
        "scope": "",
        "client_id": "",
        "client_secret": "",
    }

    assert stranger.post("/token", data=form).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("nobody", PASSWORD), ("ada\x00", PASSWORD), ("😀", "😀")],
)
def test_a_wrong_sign_in_is_refused_without_saying_what_was_wrong(
    service: Service, stranger: httpx.Client, name: str, password: str
) -> None:
    service.add_user("ada")

    response = stranger.post("/token", data={"username": name, "password": password})

    body = assert_problem(response, 401, "not_authenticated")
    assert body["detail"] == "the user name or the password is wrong"


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({}, ["/username", "/password"]),
        ({"username": "ada"}, ["/password"]),
        ({"username": "", "password": "x"}, ["/username"]),
        ({"username": "a", "password": "b", "grant_type": "client_credentials"}, ["/grant_type"]),
    ],
)
def test_a_form_that_is_not_whole_is_refused_with_its_fields(
    stranger: httpx.Client, form: dict[str, str], named: list[str]
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    response = stranger.post("/token", data=form, headers=headers)

    assert pointers(assert_problem(response, 422, "invalid_body")) == named


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        # a field twice: another reader could take the other one
        (b"username=ada&password=a&password=b", 422, "invalid_body"),
        # no UTF-8, as escapes and as bytes
        (b"username=ada&password=%ff%fe", 400, "broken_body"),
        (b"username=ada&password=\xff\xfe", 400, "broken_body"),
        # a thousand fields
        (b"&".join(b"f%d=1" % number for number in range(1000)), 400, "broken_body"),
        # a novel
        (b"username=ada&password=" + b"x" * 20_000, 413, "body_too_large"),
    ],
)
def test_a_broken_form_is_refused(
    stranger: httpx.Client, content: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    response = stranger.post("/token", content=content, headers=headers)

    assert_problem(response, status, code)


def test_json_is_no_form(stranger: httpx.Client) -> None:
    response = stranger.post("/token", json={"username": "ada", "password": "x"})

    body = assert_problem(response, 415, "unsupported_media_type")
    assert body["fix"] == "send Content-Type: application/x-www-form-urlencoded"
