from __future__ import annotations

import threading

import httpx
import pytest

from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import PASSWORD, Service
from tests.fakes import make_user
from tests.servers.processes import wait_until


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
    assert "set-password" in body["fix"]


@pytest.mark.parametrize(
    "broken", ["charset*=a; charset*0=b", f"charset*{'9' * 5000}=x", "charset*=nope''x"]
)
def test_a_content_type_that_no_library_can_read_is_refused(
    stranger: httpx.Client, broken: str
) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded; {broken}"}

    response = stranger.post("/token", content=b"username=a&password=b", headers=headers)

    assert_problem(response, 415, "unsupported_media_type")


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


def test_a_crowd_of_sign_ins_leaves_the_other_routes_alone(
    service: Service, ada: httpx.Client
) -> None:
    access = service.app.state.parts.access
    go_on = threading.Event()
    # As slow as an attacker could wish; a hash takes a fiftieth of a second.
    access.sign_in = lambda *_: go_on.wait(30) and service.tokens.issue(make_user())
    seen: list[httpx.Response] = []

    def sign_in() -> None:
        form = {"username": "ada", "password": PASSWORD}
        seen.append(service.client().post("/token", data=form))

    crowd = [threading.Thread(target=sign_in) for _ in range(60)]
    for each in crowd:
        each.start()
    # Two are served, fifty wait, and the rest is sent away.
    wait_until(lambda: len(seen) == 8, "eight were sent away")
    submitted = ada.post("/tasks/process", json={"data": "x"})
    go_on.set()
    for each in crowd:
        each.join()

    assert submitted.status_code == 202
    assert submitted.elapsed.total_seconds() < 5
    assert [response.status_code for response in seen] == [503] * 8 + [200] * 52
    assert_problem(seen[0], 503, "busy")
