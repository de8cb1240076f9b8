"""Many tasks in one request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.task import Task
from celeriac.core.user import Role
from celeriac.errors import LedgerUnavailableError
from celeriac.web.batches import BatchOut
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service

GOOD = {"name": "process", "arguments": {"data": "x"}}
UNKNOWN = {"name": "nothing", "arguments": {}}
BAD = {"name": "process", "arguments": {"data": 7}}


def kept(service: Service) -> tuple[Task, ...]:
    return service.ledger.tasks.list(TaskFilter(), after=None, limit=200).items


def send(client: httpx.Client, *tasks: Any, query: str = "", **headers: str) -> httpx.Response:
    return client.post(f"/tasks:batch{query}", json={"tasks": list(tasks)}, headers=headers)


def test_each_is_kept_rung_for_and_answered_in_order(service: Service, ada: httpx.Client) -> None:
    options = {
        "queue": "io",
        "priority": 9,
        "tags": ["a"],
        "max_attempts": 3,
        "timeout_seconds": 2,
        "delay_seconds": 60,
    }

    response = send(ada, GOOD, {**GOOD, "name": "report"}, {**GOOD, "options": options})

    assert response.status_code == 200
    body = BatchOut.model_validate(response.json())
    assert (body.accepted, body.refused) == (3, 0)
    assert [each.state for each in body.outcomes] == ["queued", "queued", "scheduled"]
    ids = [each.task_id for each in body.outcomes]
    tasks = [service.ledger.tasks.get(str(each)) for each in ids]
    assert [task.name for task in tasks] == ["process", "report", "process"]
    assert (tasks[2].queue, tasks[2].priority, tasks[2].tags) == ("io", 9, ("a",))
    assert (tasks[2].max_attempts, tasks[2].timeout_seconds) == (3, 2.0)
    assert {task.submitted_by for task in tasks} == {"ada"}
    assert service.publisher.wait_for(2) == ids[:2]


def test_a_thousand_are_one_commit(service: Service, ada: httpx.Client) -> None:
    sizes: list[int] = []
    accept = service.ledger.submissions.accept

    def counted(submissions: Any, *given: Any) -> Any:
        sizes.append(sum(len(each.tasks) for each in submissions))
        return accept(submissions, *given)

    service.ledger.submissions.accept = counted  # type: ignore[method-assign, assignment]

    body = send(ada, *[GOOD] * 1000).json()

    assert body["accepted"] == 1000
    assert len({each["task_id"] for each in body["outcomes"]}) == 1000
    assert sizes == [1000]


def test_what_is_wrong_with_one_is_told_and_harms_no_other(
    service: Service, ada: httpx.Client
) -> None:
    wrong = [
        UNKNOWN,
        BAD,
        {**GOOD, "options": {"priority": 10}},
        {**GOOD, "options": {"priority": "9"}},
        {**GOOD, "options": {"expires_at": "2026-11-22T11:00:00Z"}},
        {**GOOD, "options": {"queu": "x"}},
        {**GOOD, "options": []},
        {**GOOD, "options": 7},
        {**GOOD, "queue": "x"},
        {"arguments": {}},
        {"name": 7, "arguments": []},
        "process",
    ]

    response = send(ada, GOOD, *wrong, GOOD)

    body = BatchOut.model_validate(response.json())
    assert (body.accepted, body.refused) == (2, len(wrong))
    first, *middle, last = body.outcomes
    assert first.task_id
    assert last.task_id
    problems = [each.problem for each in middle if each.problem is not None]
    named = [[found.pointer for found in each.errors or ()] for each in problems]
    assert named == [
        [],
        ["/arguments/data"],
        ["/options/priority"],
        ["/options/priority"],
        ["/options/expires_at"],
        ["/options/queu"],
        ["/options"],
        ["/options"],
        ["/queue"],
        ["/name"],
        ["/arguments", "/name"],
        [""],
    ]
    assert [each.status for each in problems] == [404] + [422] * (len(wrong) - 1)
    assert len(kept(service)) == 2


def test_a_task_of_a_batch_has_its_moments(service: Service, ada: httpx.Client) -> None:
    options = {"not_before": "2026-11-22T14:00:00+01:00", "expires_at": "2026-11-22T14:00:00.5Z"}

    response = send(ada, {**GOOD, "options": options})

    assert response.json()["accepted"] == 1
    [task] = kept(service)
    assert task.not_before == datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert task.expires_at == datetime(2026, 11, 22, 14, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("moment", [1_800_000_000, True, "1800000000", "2026-13-01T00:00:00Z"])
def test_what_is_no_moment_is_none_in_a_batch_either(ada: httpx.Client, moment: Any) -> None:
    response = send(ada, {**GOOD, "options": {"not_before": moment}})

    [outcome] = response.json()["outcomes"]
    assert pointers(outcome["problem"]) == ["/options/not_before"]


def test_all_or_nothing_is_nothing_when_one_is_bad(service: Service, ada: httpx.Client) -> None:
    response = send(ada, GOOD, BAD, UNKNOWN, query="?atomic=true")

    body = assert_problem(response, 422, "invalid_batch")
    assert pointers(body) == ["/tasks/1/arguments/data", "/tasks/2"]
    assert kept(service) == ()
    assert send(ada, GOOD, GOOD, query="?atomic=true").json()["accepted"] == 2


def test_a_bad_one_in_every_lot_leaves_the_others(service: Service, ada: httpx.Client) -> None:
    body = send(ada, *[BAD, *[GOOD] * 255] * 3).json()

    assert (body["accepted"], body["refused"]) == (765, 3)


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"tasks": []}, "/tasks"),
        ({"tasks": [GOOD] * 1001}, "/tasks"),
        ({"tasks": GOOD}, "/tasks"),
        ({}, "/tasks"),
        ({"tasks": [GOOD], "atomic": True}, "/atomic"),
        ([GOOD], ""),
    ],
)
def test_what_is_no_batch_is_refused(
    service: Service, ada: httpx.Client, sent: Any, pointer: str
) -> None:
    response = ada.post("/tasks:batch", json=sent)

    assert pointers(assert_problem(response, 422, "invalid_body")) == [pointer]
    assert kept(service) == ()


@pytest.mark.parametrize("query", ["?atomic=maybe", "?atomic=", "?atomic=1&atomic=1", "?x=1"])
def test_a_query_that_makes_no_sense_is_refused(ada: httpx.Client, query: str) -> None:
    assert_problem(send(ada, GOOD, query=query), 422, "invalid_option")


def test_a_batch_has_a_limit_of_its_own(ada: httpx.Client) -> None:
    large = {"name": "process", "arguments": {"data": "x" * 1_000_000}}

    assert send(ada, *[large] * 7).json()["accepted"] == 7
    assert_problem(send(ada, *[large] * 9), 413, "body_too_large")


def test_a_batch_that_comes_again_gets_its_first_answer(
    service: Service, ada: httpx.Client
) -> None:
    key = {"Idempotency-Key": "k"}

    first, again = (send(ada, GOOD, BAD, GOOD, **key) for _ in range(2))
    other = send(ada, GOOD, **key)

    assert first.status_code == 200
    assert first.content == again.content
    assert_problem(other, 422, "idempotency_key_reused")
    assert len(kept(service)) == 2


def test_nothing_of_a_batch_is_accepted_while_the_ledger_is_away(
    service: Service, ada: httpx.Client
) -> None:
    service.switched.error = LedgerUnavailableError("db.internal:5432 refused")

    assert_problem(send(ada, GOOD, GOOD), 503, "ledger_unavailable")

    service.switched.error = None
    assert kept(service) == ()


def test_equal_tasks_of_a_batch_may_be_one(service: Service, ada: httpx.Client) -> None:
    unique = {**GOOD, "options": {"unique_for_seconds": 60}}

    body = send(ada, unique, unique).json()

    assert body["accepted"] == 2
    assert len({each["task_id"] for each in body["outcomes"]}) == len(kept(service)) == 1


def test_whoever_may_not_submit_submits_no_batch(service: Service, stranger: httpx.Client) -> None:
    assert_problem(send(stranger, GOOD), 401, "not_authenticated")
    assert_problem(send(service.signed_in("vera", Role.VIEWER), GOOD), 403, "not_permitted")


def test_a_full_queue_takes_nothing(service: Service, ada: httpx.Client) -> None:
    service.app.state.parts.submitting.close()

    body = assert_problem(send(ada, GOOD), 503, "accept_queue_full")

    assert body["fix"]
    assert_problem(ada.post("/tasks/process", json={"data": "x"}), 503, "accept_queue_full")
