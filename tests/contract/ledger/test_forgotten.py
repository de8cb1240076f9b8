"""Claims that a database has forgotten in a fall, and what becomes of their tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from celeriac.core.outcome import Ending
from celeriac.core.state import TaskState
from celeriac.core.task import ClaimedTask
from celeriac.ledger.open import open_ledger
from tests.contract.ledger.desk import Desk, new
from tests.fakes import Clock
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def forget(desk: Desk, held: ClaimedTask) -> None:
    """Have the ledger forget a claim, as a server does that falls before it is on the disk."""
    desk.ledger._database.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE tasks SET state = 'queued', lease_token = NULL, worker_id = NULL,"
            " worker = NULL, started_at = NULL, attempt = attempt - 1, version = version - 1,"
            " ring_due_at = created_at"
            f" WHERE id = '{held.id}'"
        )
    )


@pytest.mark.parametrize("ending", [Ending.COMPLETED, Ending.FAILED])
def test_what_became_of_a_forgotten_task_is_written(desk: Desk, ending: Ending) -> None:
    held = desk.begin("a")
    forget(desk, held)

    exchange = desk.end(held, ending)

    assert exchange.lost == ()
    assert [each.task_id for each in exchange.ended] == ["a"]
    task = desk.ledger.tasks.get("a")
    assert (task.state.value, task.attempt) == (ending.value, 1)
    assert [each.number for each in desk.ledger.tasks.attempts("a")] == [1]


def test_a_forgotten_task_that_wants_another_attempt_gets_one(desk: Desk) -> None:
    held = desk.begin("a")
    forget(desk, held)

    desk.end(held, Ending.RETRIED, resend=new("a", retries=1))

    assert desk.ledger.tasks.get("a").attempt == 1
    assert desk.claim_one("a").attempt == 2


def test_what_another_worker_claimed_meanwhile_is_the_others(desk: Desk) -> None:
    held = desk.begin("a")
    forget(desk, held)
    other = desk.colleague("w2")
    others = other.claim_one("a")

    assert desk.complete(held, "1").lost == ("a",)

    other.complete(others, "2")
    assert desk.ledger.tasks.get("a").result == "2"


def test_what_was_taken_from_a_worker_is_not_forgotten(desk: Desk) -> None:
    held = desk.begin("a")
    desk.ledger.leases.leave("w1")
    assert desk.ledger.tasks.get("a").state is TaskState.QUEUED
    again = Desk(desk.ledger, desk.clock, "w1")

    exchange = again.complete(held, "1")

    assert exchange.lost == ("a",)
    assert desk.ledger.leases.hold_on("w1", {held.id: held.lease_token}) == []
    assert desk.ledger.tasks.get("a").state is TaskState.QUEUED


def test_what_did_not_begin_is_queued_already(desk: Desk) -> None:
    held = desk.begin("a")
    forget(desk, held)

    desk.end(held, Ending.UNBEGUN)

    task = desk.ledger.tasks.get("a")
    assert (task.state, task.attempt) == (TaskState.QUEUED, 0)


def test_a_worker_holds_on_to_what_was_forgotten_and_to_nothing_else(desk: Desk) -> None:
    held = {name: desk.begin(name) for name in ("forgotten", "known", "retried", "ended")}
    forget(desk, held["forgotten"])
    desk.end(held["retried"], Ending.RETRIED, resend=new("retried", retries=1))
    desk.complete(held["ended"])
    states = {name: desk.ledger.tasks.get(name).state for name in held}

    found = desk.ledger.leases.hold_on("w1", {each.id: each.lease_token for each in held.values()})

    assert found == ["forgotten"]
    states["forgotten"] = TaskState.RUNNING
    assert {name: desk.ledger.tasks.get(name).state for name in held} == states
    assert desk.complete(held["forgotten"]).lost == ()
    assert desk.complete(held["known"]).lost == ()


def test_a_worker_that_holds_nothing_asks_for_nothing(desk: Desk) -> None:
    assert desk.ledger.leases.hold_on("w1", {}) == []


@pytest.mark.parametrize("change", ["paused", "expired", "served no more"])
def test_what_keeps_a_task_from_beginning_keeps_no_claim_from_standing_again(
    desk: Desk, change: str
) -> None:
    held = {name: desk.begin(name, expires_at=desk.soon(seconds=5)) for name in ("long", "short")}
    for each in held.values():
        forget(desk, each)
    queues = ("default",)
    match change:
        case "paused":
            desk.ledger.queues.pause("default", by="ada")
        case "expired":
            desk.later(seconds=10)
        case _:
            queues = ("other",)

    short = desk.outcome(held["short"], Ending.COMPLETED, result="3")
    assert desk.exchange(short, queues=queues).lost == ()
    assert desk.ledger.leases.hold_on("w1", {held["long"].id: held["long"].lease_token}) == ["long"]

    assert [desk.state(name) for name in held] == [TaskState.RUNNING, TaskState.COMPLETED]


@pytest.fixture
def forgetful() -> Iterator[PostgresServer]:
    """A server that brings to its disk only what somebody waits for."""
    with PostgresServer(wal_writer_delay="10s", wal_writer_flush_after="1GB") as server:
        yield server


def test_a_server_that_falls_forgets_a_claim_and_its_worker_does_not(
    forgetful: PostgresServer, ledger_url: str
) -> None:
    ledger = open_ledger(forgetful.create_database())
    desk = Desk(ledger, Clock())
    desk.put(new("long"), new("short"), new("once", at_most_once=True))
    once = desk.claim_one("once")
    held = {name: desk.claim_one(name) for name in ("long", "short")}
    losses = ledger.losses

    forgetful.restart()

    # It did: without that this test would show nothing.
    assert ledger.tasks.get("long").state is TaskState.QUEUED
    assert ledger.tasks.get("once").state is TaskState.RUNNING
    assert ledger.losses > losses
    assert desk.complete(held["short"]).lost == ()
    tokens = {each.id: each.lease_token for each in (held["long"], once)}
    assert ledger.leases.hold_on("w1", tokens) == ["long"]
    assert desk.complete(held["long"]).lost == ()
    states = {ledger.tasks.get(name).state for name in held}
    assert states == {TaskState.COMPLETED}
    assert [ledger.tasks.get(name).attempt for name in held] == [1, 1]
    ledger.close()
