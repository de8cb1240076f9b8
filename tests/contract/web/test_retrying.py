from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.web.problem import assert_problem, pointers


def submit(client: httpx.Client) -> str:
    return str(client.post("/tasks/process", json={"data": "x"}).json()["task_id"])


@pytest.fixture
def ended(ada: httpx.Client) -> str:
    """The id of a task that has ended."""
    task_id = submit(ada)
    assert ada.post(f"/tasks/{task_id}/cancel").status_code == 200
    return task_id


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"json": {"data": "y"}}])
def test_a_task_that_has_ended_runs_again_as_a_new_one(
    ada: httpx.Client, ended: str, body: dict[str, Any]
) -> None:
    answer = ada.post(f"/tasks/{ended}/retry", **body)

    assert answer.status_code == 202
    task = ada.get(answer.headers["location"]).json()
    assert (task["retry_of"], task["state"]) == (ended, "queued")
    assert int(answer.headers["retry-after"]) > 0


def test_a_task_that_goes_on_is_not_retried(ada: httpx.Client) -> None:
    answer = ada.post(f"/tasks/{submit(ada)}/retry")

    assert_problem(answer, 409, "task_not_final")


def test_changes_that_do_not_fit_are_refused(ada: httpx.Client, ended: str) -> None:
    answer = ada.post(f"/tasks/{ended}/retry", json={"data": 7})

    assert pointers(assert_problem(answer, 422, "invalid_arguments")) == ["/data"]


def test_a_body_of_another_kind_is_refused(ada: httpx.Client, ended: str) -> None:
    path = f"/tasks/{ended}/retry"
    form = ada.post(path, data={"data": "y"})
    chunked = ada.post(
        path, content=iter([b"[", b"]"]), headers={"Content-Type": "application/json"}
    )

    assert_problem(form, 415, "unsupported_media_type")
    assert_problem(chunked, 422, "invalid_body")


def test_a_task_that_nobody_has_is_not_retried(ada: httpx.Client) -> None:
    assert_problem(ada.post("/tasks/nothing/retry"), 404, "task_not_found")
