from __future__ import annotations

import time
from datetime import timedelta

import pytest

from celeriac.core.outcome import Ending
from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, TaskId
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new, waiting


def test_a_worker_gets_all_it_needs_to_run_a_task(desk: Desk) -> None:
    task = new(
        "a",
        arguments=Arguments(codec=Codec.TYPED, text="[[1],{}]"),
        queue="q",
        priority=7,
        headers='{"x":1}',
        max_attempts=4,
        retries=2,
        max_crashes=5,
        timeout_seconds=1.5,
        soft_timeout_seconds=1.25,
        expires_at=desk.soon(hours=1),
        at_most_once=True,
        ignore_result=True,
        root_id="r",
        parent_id="p",
        group_id="g",
        group_index=3,
        chord_id="c",
        submitted_by="ada",
        tags=("red",),
    )
    desk.put(task)

    (claimed,) = desk.exchange(wanted=["a"], queues=["default", "q"]).claimed

    same = (
        "id name arguments queue priority headers max_attempts retries max_crashes timeout_seconds"
        " soft_timeout_seconds expires_at ignore_result root_id parent_id group_id group_index"
    )
    for name in same.split():
        assert getattr(claimed, name) == getattr(task, name), name
    assert (claimed.attempt, claimed.crashes, len(claimed.lease_token)) == (1, 0, 32)


def test_a_claimed_task_runs_for_everybody_to_see(desk: Desk) -> None:
    desk.put(new("a"))
    desk.later(seconds=3)

    desk.claim("a")

    task = desk.get("a")
    assert (task.state, task.worker, task.attempt) == (TaskState.RUNNING, "celery@w1", 1)
    assert (task.started_at, task.version) == (desk.clock(), 2)


def test_tasks_are_granted_in_the_order_in_which_they_were_wanted(desk: Desk) -> None:
    names = ["c", "a", "d", "b"]
    desk.put(*(new(name) for name in names))

    exchange = desk.exchange(wanted=["c", "x", "a", "d", "a", "b"])

    assert [task.id for task in exchange.claimed] == names
    assert exchange.refused == ("x",)
    assert len({task.lease_token for task in exchange.claimed}) == len(names)


def test_tasks_are_claimed_and_completed_whatever_their_ids_look_like(desk: Desk) -> None:
    names = [
        'a"b',
        "c\\d",
        "e\nf",
        "é🎄",
        "123",
        "null",
        '{"x":1}',
        "[1]",
        "it's",
        "$.x",
        "\\u0041",
    ]
    desk.put(*map(new, names))

    held = desk.claim(*names)
    exchange = desk.exchange(*(desk.outcome(each, Ending.COMPLETED, result="1") for each in held))

    assert [each.id for each in held] == names
    assert {each.task_id for each in exchange.ended} == {*names}
    assert exchange.lost == ()


def test_a_running_task_is_claimed_by_nobody_else(desk: Desk) -> None:
    first = desk.begin("a")

    again = desk.exchange(wanted=["a"])
    other = desk.colleague("w2").exchange(wanted=["a"])

    assert (again.claimed, again.refused) == ((), ("a",))
    assert (other.claimed, other.refused) == ((), ("a",))
    assert desk.complete(first).lost == ()


def test_a_task_of_another_queue_is_not_claimed(desk: Desk) -> None:
    desk.put(new("a", queue="high_priority"))

    refused = desk.exchange(wanted=["a"], queues=["default"]).refused
    granted = desk.exchange(wanted=["a"], queues=["default", "high_priority"]).claimed

    assert refused == ("a",)
    assert [task.id for task in granted] == ["a"]


def test_an_expired_task_is_not_claimed(desk: Desk) -> None:
    desk.put(new("a", expires_at=desk.soon(seconds=5)), new("b", expires_at=desk.soon(seconds=6)))
    desk.later(seconds=5)

    exchange = desk.exchange(wanted=["a", "b"])

    assert [task.id for task in exchange.claimed] == ["b"]
    assert exchange.refused == ("a",)


def test_a_task_with_a_request_to_stop_is_not_claimed(desk: Desk) -> None:
    desk.put(new("a"))
    desk.run_sql("UPDATE tasks SET cancel_requested_at = 1")

    assert desk.claim("a") == []


def test_what_is_not_queued_is_not_claimed(desk: Desk) -> None:
    desk.put(new("later", not_before=desk.soon(hours=1)), new("up"), waiting("down", "up"))
    desk.put(new("done"), new("gone"))
    desk.complete(desk.claim_one("done"))
    desk.ledger.tasks.request_cancel("gone")

    exchange = desk.exchange(wanted=["later", "down", "done", "gone", "nobody"])

    assert exchange.claimed == ()
    assert exchange.refused == ("later", "down", "done", "gone", "nobody")


@pytest.mark.parametrize("junk", ["", "\0", "a\0", "\ud800", "'; DROP TABLE tasks; --", "x" * 9999])
def test_what_a_forged_message_names_is_refused_and_its_neighbours_are_granted(
    desk: Desk, junk: str
) -> None:
    desk.put(new("a"), new("b"))

    exchange = desk.exchange(wanted=["a", junk, "b"])

    assert [task.id for task in exchange.claimed] == ["a", "b"]
    assert exchange.refused == (junk,)


def test_a_worker_that_is_not_known_claims_nothing(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"))

    exchange = ledger.leases.exchange(
        "stranger", outcomes=[], wanted=[TaskId("a")], queues=["default"]
    )

    assert (exchange.claimed, exchange.refused) == ((), ("a",))
    assert exchange.is_reaped
    assert desk.state("a") is TaskState.QUEUED
    assert not desk.exchange(wanted=["a"]).is_reaped
    assert not desk.exchange(wanted=["nobody"]).is_reaped


def test_a_claim_in_one_exchange_with_a_completion_sees_what_it_brought(desk: Desk) -> None:
    held = desk.begin("a")
    desk.put(waiting("b", "a"))
    outcome = desk.outcome(held, Ending.COMPLETED, continuations=(new("b"),))

    exchange = desk.exchange(outcome, wanted=["b"])

    assert [task.id for task in exchange.claimed] == ["b"]
    # It is claimed already: nobody need be told.
    assert exchange.doorbells == ()


def test_an_exchange_with_nothing_to_do_opens_no_transaction(desk: Desk, ledger: Ledger) -> None:
    desk.exchange()

    def refuse(act: object) -> None:
        raise AssertionError("a transaction was opened")

    ledger._database._write = refuse  # type: ignore[method-assign, assignment]
    ledger._database.read = refuse  # type: ignore[method-assign, assignment]

    for _ in range(3):
        desk.exchange()


def test_a_worker_hears_which_of_its_tasks_shall_stop(desk: Desk) -> None:
    desk.begin("a")
    desk.begin("b")
    desk.colleague("w2").begin("c")
    desk.ledger.tasks.request_cancel("b")
    desk.ledger.tasks.request_cancel("c")

    # It was told only just now, when there was nothing to tell; however long that took here.
    told_at = desk.ledger.leases._told_at
    told_at.update(dict.fromkeys(told_at, time.monotonic()))
    assert desk.exchange().cancelled_running == ()
    told_at.clear()
    assert desk.exchange().cancelled_running == ("b",)


def test_a_worker_joins_beats_and_leaves(desk: Desk, ledger: Ledger) -> None:
    desk.later(seconds=1)

    was_known = ledger.leases.beat("w1")

    (worker,) = ledger.leases.workers()
    assert was_known
    assert (worker.id, worker.name, worker.queues) == ("w1", "celery@w1", ("default",))
    assert worker.sequence == 2
    assert worker.heartbeat_at - worker.started_at == timedelta(seconds=1)
    ledger.leases.leave("w1")
    assert ledger.leases.workers() == ()
    assert not ledger.leases.beat("w1")


@pytest.mark.parametrize("is_reaped", [False, True])
def test_nothing_is_remembered_of_a_worker_that_is_gone(
    desk: Desk, ledger: Ledger, *, is_reaped: bool
) -> None:
    desk.begin("a")
    ledger.leases._keep_doubted("w1", {"token": TaskId("b")})

    if is_reaped:
        ledger.sweeps.reap("w1", 1)
        assert not ledger.leases.beat("w1")
    else:
        ledger.leases.leave("w1")

    assert (ledger.leases._told_at, ledger.leases._in_doubt) == ({}, {})


def test_what_a_leaving_worker_still_holds_goes_back(desk: Desk, ledger: Ledger) -> None:
    held = desk.begin("a")

    ledger.leases.leave("w1")

    task = desk.get("a")
    assert (task.state, task.crashes) == (TaskState.QUEUED, 0)
    # Nobody got its doorbell, so that the janitor finds it at once.
    (bell,) = ledger.sweeps.due_to_ring("default", limit=9, again=timedelta(seconds=30))
    assert bell.task_id == "a"
    assert desk.complete(held).lost == ("a",)


@pytest.mark.parametrize("said", ["NULL", "a,b", "{a}", " a ", 'a"b', "a\\b", "a\nb", "\u00e9'"])
def test_an_id_may_be_any_text(desk: Desk, said: str) -> None:
    desk.put(new(said), new("other"))

    claimed = desk.claim("other", said)

    assert [task.id for task in claimed] == ["other", said]
    assert desk.complete(claimed[1]).lost == ()
