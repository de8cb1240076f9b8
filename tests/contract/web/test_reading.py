from __future__ import annotations

from typing import Any

import httpx
import pytest

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import Codec, TaskError, TaskId
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service
from tests.fakes import NOON, make_new_worker


def submit(client: httpx.Client, **params: Any) -> TaskId:
    response = client.post("/tasks/process", params=params, json={"data": "x"})
    return TaskId(response.json()["task_id"])


def claim(service: Service, task_id: TaskId) -> str:
    leases = service.ledger.leases
    leases.join(make_new_worker(queues=("default",)))
    (claimed,) = leases.exchange(
        "worker-1", outcomes=[], wanted=[task_id], queues=["default"]
    ).claimed
    return claimed.lease_token


def end(service: Service, task_id: TaskId, ending: Ending, **facts: Any) -> None:
    outcome = Outcome(
        task_id=task_id,
        lease_token=claim(service, task_id),
        ending=ending,
        finished_at=NOON,
        **facts,
    )
    service.ledger.leases.exchange("worker-1", outcomes=[outcome], wanted=[], queues=[])


def test_a_task_is_pending_until_it_ended(service: Service, ada: httpx.Client) -> None:
    task_id = submit(ada)
    seen = [ada.get(f"/tasks/{task_id}").json()]

    token = claim(service, task_id)
    seen.append(ada.get(f"/tasks/{task_id}").json())
    outcome = Outcome(
        task_id=task_id,
        lease_token=token,
        ending=Ending.COMPLETED,
        finished_at=NOON,
        result='"Processed: example data"',
    )
    service.ledger.leases.exchange("worker-1", outcomes=[outcome], wanted=[], queues=[])
    seen.append(ada.get(f"/tasks/{task_id}").json())

    assert [body["status"] for body in seen] == ["pending", "pending", "completed"]
    assert [body["state"] for body in seen] == ["queued", "running", "completed"]
    assert [body["result"] for body in seen] == [None, None, "Processed: example data"]
    assert [body["attempt"] for body in seen] == [0, 1, 1]
    assert seen[0]["version"] < seen[1]["version"] < seen[2]["version"]
    assert seen[2]["started_at"] == seen[2]["finished_at"] == "2026-11-22T12:00:00Z"


def test_progress_is_what_the_task_told_last(service: Service, ada: httpx.Client) -> None:
    task_id = submit(ada)
    token = claim(service, task_id)

    text = '{"state": "PROGRESS", "meta": {"done": 1, "total": 3, "message": "decoding"}}'
    service.ledger.tasks.set_progress([(task_id, token, text)])

    progress = ada.get(f"/tasks/{task_id}").json()["progress"]
    assert progress == {"done": 1, "total": 3, "message": "decoding"}


TRACEBACK = """Traceback (most recent call last):
  File "/lib/python3.12/site-packages/celery/app/trace.py", line 5, in run
    call()
  File "/srv/shop.py", line 9, in pack
    raise ValueError("secret")
ValueError: no such thing
"""


def test_a_failure_says_why_and_keeps_its_traceback_to_itself(
    service: Service, ada: httpx.Client
) -> None:
    task_id = submit(ada)
    error = TaskError(
        kind=ErrorKind.EXCEPTION,
        type="ValueError",
        message="no such \ud83d thing",
        traceback=TRACEBACK,
    )

    end(service, task_id, Ending.FAILED, error=error)

    body = ada.get(f"/tasks/{task_id}").json()
    assert body["status"] == "failed"
    assert body["error"]["kind"] == "exception"
    assert body["error"]["type"] == "ValueError"
    assert body["error"]["message"].startswith("no such ")
    # But where in its own code it failed, and only to who asks for this one task.
    assert body["error"]["trail"] == [{"file": "/srv/shop.py", "line": 9, "function": "pack"}]
    assert "site-packages" not in ada.get(f"/tasks/{task_id}").text
    assert "secret" not in ada.get(f"/tasks/{task_id}").text
    (listed,) = ada.get("/tasks").json()["tasks"]
    assert listed["error"] == {**body["error"], "trail": []}


@pytest.mark.parametrize(
    ("codec", "text", "shown"),
    [
        (Codec.JSON, '{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        # an object of the user's that only looks like a typed value
        (Codec.JSON, '{"__type__": "uuid", "__value__": 1}', {"__type__": "uuid", "__value__": 1}),
        (Codec.TYPED, '{"__type__": "decimal", "__value__": "1.50"}', "1.50"),
        # what Python writes and JSON does not know
        (
            Codec.JSON,
            "[NaN, Infinity, -Infinity, 1e999]",
            ["NaN", "Infinity", "-Infinity", "1e999"],
        ),
        (Codec.JSON, "123456789012345678901234567890", 123456789012345678901234567890),
        (Codec.JSON, '"\\ud83d alone"', "? alone"),
        (Codec.JSON, '"\\ud83d\\ude00 together"', "😀 together"),
    ],
)
def test_a_result_is_plain_json_whatever_was_returned(
    service: Service, ada: httpx.Client, codec: Codec, text: str, shown: object
) -> None:
    task_id = submit(ada)

    end(service, task_id, Ending.COMPLETED, result=text, result_codec=codec)

    assert ada.get(f"/tasks/{task_id}").json()["result"] == shown


@pytest.mark.parametrize("task_id", ["nothing", "0" * 300, "a%00b", "%ff", "..%2e", "process%20"])
def test_an_id_nobody_knows_is_not_found(ada: httpx.Client, task_id: str) -> None:
    assert_problem(ada.get(f"/tasks/{task_id}"), 404, "task_not_found")


def test_a_list_is_newest_first_page_by_page_to_an_empty_token(
    service: Service, ada: httpx.Client
) -> None:
    submitted = []
    for _ in range(7):
        service.clock.advance(seconds=1)
        submitted.append(submit(ada))

    listed: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = ada.get("/tasks", params={"limit": 3, "page_token": token}).json()
        listed += [task["task_id"] for task in page["tasks"]]
        token, pages = page["next_page_token"], pages + 1

    assert listed == submitted[::-1]
    assert pages == 3


def test_a_task_that_comes_between_two_pages_moves_nothing(
    service: Service, ada: httpx.Client
) -> None:
    submitted = [submit(ada) for _ in range(4)]
    first = ada.get("/tasks", params={"limit": 2}).json()

    service.clock.advance(seconds=1)
    submit(ada)
    second = ada.get("/tasks", params={"limit": 2, "page_token": first["next_page_token"]}).json()

    listed = [task["task_id"] for task in (*first["tasks"], *second["tasks"])]
    assert sorted(listed) == sorted(submitted)


def test_a_list_holds_only_what_was_asked_for(service: Service, ada: httpx.Client) -> None:
    plain = submit(ada)
    service.clock.advance(seconds=60)
    tagged = submit(ada, tag="blue", queue="other", delay_seconds=3600)

    def listed(**query: Any) -> list[str]:
        return [task["task_id"] for task in ada.get("/tasks", params=query).json()["tasks"]]

    assert listed(state="scheduled") == [tagged]
    assert listed(state=["queued", "scheduled"]) == [tagged, plain]
    assert listed(state="completed") == []
    assert listed(queue="default") == [plain]
    assert listed(tag="blue") == [tagged]
    assert listed(name="process") == [tagged, plain]
    assert listed(name="report") == []
    assert listed(since="2026-11-22T12:00:30Z") == [tagged]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("state=pending", "/state/0"),
        ("since=yesterday", "/since"),
        ("name=a%00b", "/name"),
        ("name=", "/name"),
        ("offset=10", "/offset"),
        ("page_token=abc", "/page_token"),
        ("page_token=%00", "/page_token"),
        ("page_token=" + "A" * 5000, "/page_token"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(ada: httpx.Client, query: str, pointer: str) -> None:
    response = ada.get(f"/tasks?{query}")

    assert pointers(assert_problem(response, 422, "invalid_option")) == [pointer]


def test_a_page_token_is_good_for_its_own_list_alone(ada: httpx.Client) -> None:
    submit(ada)
    submit(ada)
    token = ada.get("/tasks?limit=1").json()["next_page_token"]

    other = ada.get("/tasks", params={"page_token": token, "queue": "default"})
    changed = ada.get("/tasks", params={"page_token": token[:-2] + "AA"})

    assert_problem(other, 422, "invalid_option")
    assert_problem(changed, 422, "invalid_option")


def test_a_task_is_cancelled_once(service: Service, ada: httpx.Client) -> None:
    task_id = submit(ada)

    first = ada.post(f"/tasks/{task_id}/cancel")
    second = ada.post(f"/tasks/{task_id}/cancel")

    assert first.status_code == 200
    assert first.json()["status"] == "cancelled"
    assert_problem(second, 409, "task_already_final")


def test_a_running_task_is_asked_to_stop(service: Service, ada: httpx.Client) -> None:
    task_id = submit(ada)
    claim(service, task_id)

    body = ada.post(f"/tasks/{task_id}/cancel").json()

    assert (body["status"], body["state"]) == ("pending", "running")
    assert body["cancel_requested_at"] == "2026-11-22T12:00:00Z"
    assert service.workers.interrupted == [task_id]


def test_nothing_can_be_cancelled_that_is_not_there(ada: httpx.Client) -> None:
    assert_problem(ada.post("/tasks/nothing/cancel"), 404, "task_not_found")


def test_task_types_tell_what_can_be_submitted(ada: httpx.Client) -> None:
    listed = ada.get("/task-types").json()["task_types"]

    assert [each["name"] for each in listed] == ["process", "report"]
    assert listed[0] == ada.get("/task-types/process").json()
    assert listed[0]["schema"]["required"] == ["data"]
    assert listed[0]["queue"] == "default"
    assert_problem(ada.get("/task-types/nothing"), 404, "task_name_not_found")
