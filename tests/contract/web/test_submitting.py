from __future__ import annotations

import gc
from typing import Any

import httpx
import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.errors import LedgerUnavailableError
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service
from tests.servers.processes import wait_until

FIELDS = {
    "task_id",
    "name",
    "status",
    "state",
    "queue",
    "priority",
    "attempt",
    "max_attempts",
    "progress",
    "created_at",
    "started_at",
    "finished_at",
    "result",
    "error",
    "version",
    "tags",
    "retry_of",
    "submitted_by",
    "waiting_because",
    "queued_before",
    "worker",
}


def kept(service: Service) -> list[TaskId]:
    page = service.ledger.tasks.list(TaskFilter(), after=None, limit=200)
    return [task.id for task in page.items]


def test_a_task_is_accepted_when_it_is_kept_and_rung_for(
    service: Service, ada: httpx.Client
) -> None:
    response = ada.post("/tasks/process", json={"data": "example data"})

    assert response.status_code == 202
    body = response.json()
    assert body.keys() >= FIELDS
    assert (body["status"], body["state"], body["submitted_by"]) == ("pending", "queued", "ada")
    assert response.headers["location"] == f"/tasks/{body['task_id']}"
    assert int(response.headers["retry-after"]) >= 1
    assert kept(service) == [body["task_id"]]
    assert service.publisher.wait_for(1) == [body["task_id"]]
    assert ada.get(response.headers["location"]).json() == {
        **body,
        "waiting_because": "no_worker_listens",
        "queued_before": 0,
    }


def test_options_travel_beside_the_arguments(service: Service, ada: httpx.Client) -> None:
    options: dict[str, Any] = {
        "queue": "high_priority",
        "priority": 9,
        "not_before": "2026-11-22T14:00:00+01:00",
        "expires_at": "2026-11-23T00:00:00Z",
        "max_attempts": 3,
        "timeout_seconds": 1.5,
        "tag": ["blue", "größe"],
    }

    body = ada.post("/tasks/process", params=options, json={"data": "x"}).json()

    assert body["queue"] == "high_priority"
    assert body["priority"] == 9
    assert body["not_before"] == "2026-11-22T13:00:00Z"
    assert body["expires_at"] == "2026-11-23T00:00:00Z"
    assert body["max_attempts"] == 3
    assert body["tags"] == ["blue", "größe"]
    assert (body["state"], body["waiting_because"]) == ("scheduled", "scheduled")
    assert service.publisher.rung == []


def test_a_delay_is_counted_from_now(ada: httpx.Client) -> None:
    body = ada.post("/tasks/process?delay_seconds=90", json={"data": "x"}).json()

    assert body["not_before"] == "2026-11-22T12:01:30Z"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("priority=10", "/priority"),
        ("priority=-1", "/priority"),
        ("priority=high", "/priority"),
        ("priority=", "/priority"),
        ("priority=1&priority=2", "/priority"),
        ("queue=a%20b", "/queue"),
        ("queue=", "/queue"),
        ("queue=a%00b", "/queue"),
        ("delay_seconds=-1", "/delay_seconds"),
        ("delay_seconds=nan", "/delay_seconds"),
        ("delay_seconds=inf", "/delay_seconds"),
        ("delay_seconds=1e300", "/delay_seconds"),
        ("not_before=tomorrow", "/not_before"),
        ("not_before=1795348800", "/not_before"),
        ("not_before=2026-11-22T12:00:00", "/not_before"),
        ("not_before=0001-01-01T00:00:00%2B23:59", "/not_before"),
        ("not_before=9999-12-31T23:59:59-23:59", "/not_before"),
        ("not_before=2026-11-23T12:00:00Z&delay_seconds=1", "/not_before"),
        ("expires_at=2026-11-22T11:59:59Z", "/expires_at"),
        ("max_attempts=0", "/max_attempts"),
        ("max_attempts=1.5", "/max_attempts"),
        ("timeout_seconds=0", "/timeout_seconds"),
        ("tag=", "/tag/0"),
        ("tag=" + "x" * 65, "/tag/0"),
        ("tag=a%00b", "/tag"),
        ("&".join(f"tag={number}" for number in range(21)), "/tag"),
        # what is the service's to decide
        ("state=completed", "/state"),
        ("tenant_id=eve", "/tenant_id"),
        ("submitted_by=eve", "/submitted_by"),
        ("attempt=7", "/attempt"),
        ("result=1", "/result"),
        ("task_id=mine", "/task_id"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_and_nothing_is_kept(
    service: Service, ada: httpx.Client, query: str, pointer: str
) -> None:
    response = ada.post(f"/tasks/process?{query}", json={"data": "x"})

    assert pointers(assert_problem(response, 422, "invalid_option")) == [pointer]
    assert kept(service) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, ["/data"]),
        ({"data": 3}, ["/data"]),
        ({"data": "x", "state": "completed"}, ["/state"]),
        ({"data": "x", "__class__": "y"}, ["/__class__"]),
        ({"dat": "x"}, ["/data", "/dat"]),
    ],
)
def test_arguments_that_do_not_fit_are_named_and_nothing_is_kept(
    service: Service, ada: httpx.Client, arguments: dict[str, Any], named: list[str]
) -> None:
    response = ada.post("/tasks/process", json=arguments)

    assert pointers(assert_problem(response, 422, "invalid_arguments")) == named
    assert kept(service) == []


@pytest.mark.parametrize("name", ["nothing", "PROCESS", "process%20", "sample.nothing", "..%2e"])
def test_a_name_that_nobody_registered_is_not_found(ada: httpx.Client, name: str) -> None:
    response = ada.post(f"/tasks/{name}", json={"data": "x"})

    assert_problem(response, 404, "task_name_not_found")


@pytest.mark.parametrize("prefer", ["", "wait=1"])
def test_a_name_that_was_misspelled_is_answered_with_the_one_that_was_meant(
    ada: httpx.Client, prefer: str
) -> None:
    response = ada.post("/tasks/proces", json={"data": "x"}, headers={"Prefer": prefer})

    body = assert_problem(response, 404, "task_name_not_found")
    assert body["fix"].startswith("did you mean process? GET /task-types lists")


def test_what_only_looks_like_a_typed_value_stays_what_it_is(
    service: Service, ada: httpx.Client
) -> None:
    text = '{"__type__": "datetime", "__value__": "2026-11-22"}'

    task_id = ada.post("/tasks/process", json={"data": text}).json()["task_id"]

    arguments = service.ledger.tasks.get(task_id).arguments
    assert arguments.codec == "json"


def test_nothing_is_accepted_while_the_ledger_is_away(service: Service, ada: httpx.Client) -> None:
    service.switched.error = LedgerUnavailableError("db.internal:5432 refused")

    response = ada.post("/tasks/process", json={"data": "x"})

    assert_problem(response, 503, "ledger_unavailable")
    service.switched.error = None
    assert kept(service) == []
    assert service.publisher.rung == []
    assert ada.post("/tasks/process", json={"data": "x"}).status_code == 202


def test_a_broker_that_is_away_keeps_nobody_from_submitting(
    service: Service, ada: httpx.Client
) -> None:
    # The publisher swallows what the broker's absence raises; here it rings for nobody.
    service.publisher.ring = lambda doorbells: None  # type: ignore[method-assign]

    task_id = ada.post("/tasks/process", json={"data": "x"}).json()["task_id"]

    assert service.ledger.tasks.get(task_id).state is TaskState.QUEUED


@pytest.mark.usefixtures("service")
def test_what_the_service_is_made_of_is_not_searched_for_garbage_again() -> None:
    wait_until(lambda: gc.get_freeze_count() > 0, "it is warm", seconds=30)
