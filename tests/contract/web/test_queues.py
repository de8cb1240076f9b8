"""Queues over HTTP, and as the client reads them."""

from __future__ import annotations

import json

import pytest

from celeriac import Client
from celeriac.cli.commands import queues
from celeriac.core.user import Role
from celeriac.errors import InvalidOptionError, NotPermittedError, QueueNotFoundError
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service
from tests.fakes import make_new_task


def test_an_operator_pauses_and_resumes_a_queue(service: Service) -> None:
    client = service.signed_in("ann", Role.OPERATOR)
    client.post("/tasks/process", json={"data": "x"})

    paused = client.post("/queues/default/pause", json={"reason": "a release"})

    assert paused.status_code == 200
    assert paused.json()["queued"] == 1
    pause = paused.json()["pause"]
    assert (pause["by"], pause["reason"]) == ("ann", "a release")
    assert client.get("/queues").json()["queues"] == [paused.json()]
    resumed = client.post("/queues/default/resume")
    assert resumed.json()["pause"] is None
    acts = [(each.action, each.subject) for each in service.ledger.audit.list()]
    assert acts == [("queue.resume", "default"), ("queue.pause", "default")]


def test_a_task_of_a_paused_queue_says_what_it_waits_for(service: Service) -> None:
    client = service.signed_in("ann", Role.OPERATOR)
    task = client.post("/tasks/process", json={"data": "x"}).json()
    client.post("/queues/default/pause")

    waiting = client.get(f"/tasks/{task['task_id']}").json()["waiting_because"]

    assert waiting == "queue_paused"


def test_a_submitter_reads_queues_and_steers_none(service: Service) -> None:
    client = service.signed_in("ann")

    assert client.get("/queues").json() == {"queues": []}
    assert_problem(client.post("/queues/default/pause"), 403, "not_permitted")
    assert_problem(client.post("/queues/default/resume"), 403, "not_permitted")


def test_a_wish_that_makes_no_sense_is_refused(service: Service) -> None:
    client = service.signed_in("ann", Role.OPERATOR)

    unknown = client.post("/queues/default/pause", json={"why": "x", "reason": 5})

    assert pointers(assert_problem(unknown, 422, "invalid_body")) == ["/why", "/reason"]
    assert_problem(client.post("/queues/nowhere/resume"), 404, "queue_not_found")
    assert_problem(client.post(f"/queues/{'x' * 201}/pause"), 422, "invalid_option")
    assert service.ledger.queues.paused() == {}


def test_a_name_that_no_queue_may_have_is_refused_where_a_submission_with_it_is(
    service: Service,
) -> None:
    client = service.signed_in("ann", Role.OPERATOR)

    paused = client.post("/queues/a b/pause")
    submitted = client.post("/tasks/process?queue=a%20b", json={"data": "x"})

    assert_problem(paused, 422, "invalid_option")
    assert paused.json()["detail"] == "queue: 1 to 100 letters, digits and _ . : -"
    assert submitted.status_code == 422
    assert service.ledger.queues.paused() == {}


def test_the_client_pauses_lists_and_resumes(service: Service) -> None:
    # An app of Celery's calls its queues what it likes.
    service.ledger.tasks.insert([make_new_task(queue="nightly jobs/2")])
    with Client(service.url, service.add_user("ann", Role.OPERATOR)) as client:
        paused = client.pause_queue("nightly jobs/2", "a release")
        assert client.queues() == (paused,)
        assert paused.pause is not None
        assert (paused.pause.by, paused.pause.reason) == ("ann", "a release")

        assert client.resume_queue("nightly jobs/2").pause is None
        assert [each.pause for each in client.queues()] == [None]
        with pytest.raises(QueueNotFoundError):
            client.resume_queue("nightly jobs/3")


def test_the_client_says_that_a_right_is_missing(service: Service) -> None:
    with Client(service.url, service.add_user("ann")) as client, pytest.raises(NotPermittedError):
        client.pause_queue("default")


def test_the_commands_pause_list_and_resume(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.ledger.tasks.insert([make_new_task(queue="default")])
    account = ["--url", service.url, "--key", service.add_user("ann", Role.OPERATOR)]

    def run(*words: str) -> tuple[str, str]:
        queues.main([*words, *account], prog_name="queues", standalone_mode=False)
        told = capsys.readouterr()
        return told.out, told.err

    assert run("pause", "default", "--reason=a release") == (
        "",
        "paused default: 1 wait, 0 still run\n",
    )
    listed, _ = run("list")
    assert "\tby ann: a release\n" in listed
    assert run("list", "-q") == ("default\n", "")
    paused, _ = run("list", "--json")
    assert [each["pause"]["reason"] for each in json.loads(paused)] == ["a release"]
    # Nobody uses it, and another one was meant.
    _, asked = run("pause", "defualt")
    assert asked.endswith("no worker serves it; did you mean default?\n")
    assert run("resume", "default", "-q") == ("default\n", "")
    with pytest.raises(InvalidOptionError, match="queue: 1 to 100 letters"):
        run("pause", "a b")
