from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from celeriac.errors import LedgerUnavailableError
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Server, Service


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        # a task name is not an id
        ("GET", "/tasks/process", "POST"),
        ("DELETE", "/tasks/process", "POST"),
        ("PUT", "/tasks/report", "POST"),
        ("HEAD", "/tasks/process", "POST"),
        # an id is not a task name
        ("DELETE", "/tasks/some-id", "GET"),
        ("PATCH", "/tasks/some-id", "GET"),
        ("DELETE", "/tasks", "GET"),
        ("POST", "/tasks", "GET"),
        ("GET", "/token", "POST"),
        ("GET", "/tasks/some-id/cancel", "POST"),
        ("POST", "/task-types", "GET"),
        ("POST", "/task-types/process", "GET"),
        ("POST", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
        ("TRACE", "/tasks", "GET"),
        ("OPTIONS", "/tasks", "GET"),
        ("POST", "/openapi.json", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_refused_with_those_it_takes(
    stranger: httpx.Client, method: str, path: str, allowed: str
) -> None:
    response = stranger.request(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    if method != "HEAD":
        problem = assert_problem(response, 405, "method_not_allowed")
        assert problem["fix"] == f"send it as {allowed}"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/tasks/",
        "/tasks//",
        "/tasks/a/b",
        "/TASKS",
        "/docs",
        "/redoc",
        "/token/",
        "//tasks",
        "/tasks/some-id/cancel/",
        "/healthz/",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(stranger: httpx.Client, path: str) -> None:
    response = stranger.get(httpx.URL(str(stranger.base_url)).copy_with(raw_path=path.encode()))

    assert_problem(response, 404, "not_found")


def test_another_methods_name_in_a_header_changes_nothing(ada: httpx.Client) -> None:
    response = ada.get("/tasks", headers={"X-HTTP-Method-Override": "DELETE"})

    assert response.status_code == 200


def test_a_failure_of_ours_tells_nothing_and_is_logged(
    service: Service, ada: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    service.switched.error = RuntimeError("password=hunter2 in celeriac/secret.py")

    response = ada.post("/tasks/process", json={"data": "x"})

    assert_problem(response, 500, "internal")
    assert "hunter2" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    assert any("hunter2" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("GET", "/tasks/some-id"),
        ("POST", "/tasks/process"),
        ("POST", "/tasks/some-id/cancel"),
    ],
)
def test_a_ledger_that_is_away_is_said_so_without_its_address(
    service: Service, ada: httpx.Client, method: str, path: str
) -> None:
    service.switched.error = LedgerUnavailableError("db.internal:5432 refused")

    response = ada.request(method, path, json={"data": "x"} if method == "POST" else None)

    assert_problem(response, 503, "ledger_unavailable")


def test_signing_in_needs_the_ledger(service: Service, stranger: httpx.Client) -> None:
    service.switched.error = LedgerUnavailableError("db.internal:5432 refused")

    response = stranger.post("/token", data={"username": "ada", "password": "x"})

    assert_problem(response, 503, "ledger_unavailable")


def test_the_service_lives_although_it_is_not_ready(
    service: Service, stranger: httpx.Client
) -> None:
    assert stranger.get("/readyz").json() == {"status": "ok"}

    service.switched.error = LedgerUnavailableError("db.internal:5432 refused")

    assert_problem(stranger.get("/readyz"), 503, "ledger_unavailable")
    assert stranger.get("/healthz").json() == {"status": "ok"}


def test_every_answer_says_how_it_is_to_be_taken(stranger: httpx.Client, ada: httpx.Client) -> None:
    answers = [
        stranger.get("/healthz"),
        stranger.get("/nothing"),
        stranger.get("/tasks"),
        ada.get("/tasks"),
        ada.post("/tasks/process", json={"data": "<img onerror=alert(1)>"}),
    ]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        # This was plain HTTP: a promise of HTTPS would lock the reader out.
        assert "strict-transport-security" not in answer.headers


def test_the_engines_background_lives_as_long_as_the_service(
    tmp_path: Path, server: Server
) -> None:
    with Service(tmp_path, server) as service:
        assert service.started == ["start"]

    assert service.started == ["start", "stop"]
