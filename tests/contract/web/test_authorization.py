"""Who may do what with whose task: the whole matrix."""

from __future__ import annotations

import httpx
import pytest

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.core.user import Role
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Service

NO_TASK = "00000000-0000-4000-8000-000000000000"


def submit(client: httpx.Client) -> str:
    task_id: str = client.post("/tasks/process", json={"data": "secret of ada"}).json()["task_id"]
    return task_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/{}"),
        ("GET", "/tasks/{}/result"),
        ("GET", "/tasks/{}/files/0"),
        ("POST", "/tasks/{}/cancel"),
    ],
)
def test_a_strangers_task_is_the_same_404_as_none_byte_for_byte(
    service: Service, ada: httpx.Client, method: str, path: str
) -> None:
    eve = service.signed_in("eve")
    task_id = submit(ada)

    foreign = eve.request(method, path.format(task_id))
    missing = eve.request(method, path.format(NO_TASK))

    assert_problem(foreign, 404, "task_not_found")
    assert foreign.text.replace(task_id, NO_TASK) == missing.text
    assert foreign.headers.keys() == missing.headers.keys()
    assert service.ledger.tasks.get(TaskId(task_id)).state is TaskState.QUEUED


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_an_operator_reads_lists_and_cancels_everybodys_tasks(
    service: Service, ada: httpx.Client, role: Role
) -> None:
    otto = service.signed_in("otto", role)
    task_id = submit(ada)

    assert otto.get(f"/tasks/{task_id}").json()["submitted_by"] == "ada"
    assert [each["task_id"] for each in otto.get("/tasks").json()["tasks"]] == [task_id]
    assert otto.post(f"/tasks/{task_id}/cancel").json()["status"] == "cancelled"


def test_a_list_never_shows_a_strangers_task(service: Service, ada: httpx.Client) -> None:
    eve = service.signed_in("eve")
    submit(ada)

    for query in ("", "?name=process", "?queue=default", "?state=queued", "?limit=200"):
        assert eve.get(f"/tasks{query}").json() == {"tasks": [], "next_page_token": ""}


def test_a_list_cannot_be_asked_for_somebody_elses(service: Service, ada: httpx.Client) -> None:
    eve = service.signed_in("eve")
    submit(ada)

    response = eve.get("/tasks", params={"submitted_by": "ada"})

    assert_problem(response, 422, "invalid_option")


def test_a_page_token_is_good_for_nobody_else(service: Service, ada: httpx.Client) -> None:
    eve = service.signed_in("eve")
    submit(ada)
    submit(ada)
    token = ada.get("/tasks?limit=1").json()["next_page_token"]

    assert ada.get("/tasks", params={"limit": 1, "page_token": token}).status_code == 200
    response = eve.get("/tasks", params={"limit": 1, "page_token": token})

    assert_problem(response, 422, "invalid_option")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/tasks/process"), ("POST", "/tasks/some-id/cancel")]
)
def test_a_viewer_changes_nothing_and_is_told_which_right_is_missing(
    service: Service, method: str, path: str
) -> None:
    vera = service.signed_in("vera", Role.VIEWER)

    response = vera.request(method, path, json={"data": "x"})

    assert_problem(response, 403, "not_permitted")
    assert 'error="insufficient_scope", scope="submit"' in response.headers["www-authenticate"]


def test_a_viewer_reads_what_can_be_submitted(service: Service) -> None:
    vera = service.signed_in("vera", Role.VIEWER)

    assert vera.get("/task-types").status_code == 200
    assert vera.get("/tasks").json() == {"tasks": [], "next_page_token": ""}


def test_a_role_that_was_taken_away_is_gone_at_the_next_request(
    service: Service, ada: httpx.Client
) -> None:
    submit(ada)

    service.ledger.users.set_role("ada", Role.VIEWER)

    assert ada.post("/tasks/process", json={"data": "x"}).status_code in (401, 403)
