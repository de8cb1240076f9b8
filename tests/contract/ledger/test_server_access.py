"""What PostgreSQL is told at the ends of a transaction, and that nothing of it stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from celeriac.core.outcome import Ending
from celeriac.errors import CommitInDoubtError, LedgerUnavailableError
from celeriac.ledger.claims import Claims
from celeriac.ledger.open import Ledger, open_ledger
from celeriac.ledger.transaction import Shape
from tests.contract.ledger.desk import Desk, new
from tests.servers.processes import wait_until

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def ask(ledger: Ledger, question: str) -> Any:
    return ledger._database.read(
        lambda connection: connection.exec_driver_sql(f"SELECT {question}").scalar()
    )


class Trips:
    """How often a connection waited for the server."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def trips(ledger: Ledger, folder: Path) -> Iterator[Trips]:
    """Count the trips of the connection that was used last, which is used next."""
    connection: Any = ledger._database.read(
        lambda connection: connection.connection.driver_connection, shape=Shape.BY_ID
    )
    found = Trips()
    trace = folder / "trace"
    with trace.open("w") as file:
        connection.pgconn.trace(file.fileno())
        try:
            yield found
        finally:
            connection.pgconn.untrace()
    # Of what the client said, what makes the server answer. What is told of a message may go on in
    # lines of its own, such as those of a statement.
    said = [line.split("\t") for line in trace.read_text().splitlines()]
    found.count = sum(each[1:2] == ["F"] and each[3] in ("Query", "Sync") for each in said)


@pytest.mark.parametrize(
    ("ids", "mode"),
    [(["plain"], "off"), (["once"], "on"), (["plain", "once"], "on")],
)
def test_a_claim_waits_for_the_disk_if_its_task_must_not_run_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, ids: list[str], mode: str
) -> None:
    desk.put(new("plain"), new("once", at_most_once=True))
    modes: list[str] = []
    claim = Claims.claim

    def claim_and_look(
        claims: Claims, connection: Connection, *given: Any, is_alone: bool = False
    ) -> None:
        # In a transaction of its own the statement's word would be over with the statement.
        connection.exec_driver_sql("BEGIN")
        claim(claims, connection, *given, is_alone=is_alone)
        modes.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
        connection.exec_driver_sql("COMMIT")

    monkeypatch.setattr(Claims, "claim", claim_and_look)
    desk.claim(*ids)

    assert modes == [mode]
    assert ask(desk.ledger, "current_setting('synchronous_commit')") == "on"


def test_ends_and_claims_of_one_transaction_wait_for_the_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = desk.begin("a")
    desk.put(new("b"))
    modes: list[str] = []
    claim = Claims.claim

    def claim_and_look(
        claims: Claims, connection: Connection, *given: Any, is_alone: bool = False
    ) -> None:
        claim(claims, connection, *given, is_alone=is_alone)
        modes.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    monkeypatch.setattr(Claims, "claim", claim_and_look)
    exchange = desk.exchange(desk.outcome(held, Ending.COMPLETED, result="3"), wanted=["b"])

    assert ([each.id for each in exchange.claimed], modes) == (["b"], ["on"])


def test_the_next_statement_on_the_connection_is_planned_anew(desk: Desk) -> None:
    desk.begin("a")
    ledger = desk.ledger

    assert ask(ledger, "current_setting('enable_seqscan')") == "on"
    assert ask(ledger, "current_setting('plan_cache_mode')") == "force_custom_plan"


def test_a_lone_task_costs_one_trip_for_its_acceptance_one_for_its_claim_and_one_for_its_end(
    desk: Desk, tmp_path: Path
) -> None:
    # So often that the driver has prepared what it says, and the connection plans once.
    for number in range(8):
        desk.complete(desk.begin(f"warm{number}"))
    # A worker asks now and then what shall stop; not in the middle of this.
    desk.exchange(wanted=["nothing"])

    with trips(desk.ledger, tmp_path) as accepting:
        desk.put(new("a"))
    with trips(desk.ledger, tmp_path) as claiming:
        held = desk.claim_one("a")
    with trips(desk.ledger, tmp_path) as ending:
        desk.complete(held)

    assert (accepting.count, claiming.count, ending.count) == (1, 1, 1)


def test_who_is_refused_by_the_server_itself_is_not_in_doubt(desk: Desk) -> None:
    desk.put(new("a"))
    ledger = desk.ledger
    may_end, is_locked = threading.Event(), threading.Event()

    def lock(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1 FROM tasks WHERE id = 'a' FOR UPDATE")
        is_locked.set()
        may_end.wait(30)

    holder = threading.Thread(target=ledger._database.write, args=(lock,))
    holder.start()
    is_locked.wait(30)
    # The connection that was used last is used next.
    ask(ledger, "set_config('lock_timeout', '50ms', false)")
    with pytest.raises(LedgerUnavailableError) as raised:
        desk.claim_one("a")
    may_end.set()
    holder.join()

    assert not isinstance(raised.value, CommitInDoubtError)
    assert desk.claim_one("a").id == "a"


def test_a_claim_whose_answer_is_lost_is_in_doubt_and_given_back(
    desk: Desk, ledger_url: str
) -> None:
    desk.complete(desk.begin("warm"))
    own = ask(desk.ledger, "pg_backend_pid()")
    other = open_ledger(ledger_url)
    desk.put(new("a"))

    def hang_up(connection: Connection) -> None:
        # Whoever waits for this row is cut off in the middle of its claim.
        connection.exec_driver_sql("SELECT 1 FROM tasks WHERE id = 'a' FOR UPDATE")
        claim.start()
        waits = f"SELECT count(*) FROM pg_locks WHERE pid = {own} AND NOT granted"
        wait_until(lambda: bool(connection.exec_driver_sql(waits).scalar()), "it waits")
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({own})")

    raised: list[BaseException] = []

    def try_to_claim() -> None:
        try:
            desk.claim_one("a")
        except LedgerUnavailableError as error:
            raised.append(error)

    claim = threading.Thread(target=try_to_claim)
    other._database.write(hang_up)
    claim.join()
    other.close()

    assert [type(each) for each in raised] == [CommitInDoubtError]
    # What it may have claimed goes back with its next word, and can be had again.
    desk.exchange(wanted=[])
    assert desk.claim_one("a").id == "a"


def test_a_connection_that_died_while_idle_puts_nobody_in_doubt(
    desk: Desk, ledger_url: str
) -> None:
    # The last thing said over it is said as a claim is: it need not be told how to plan.
    desk.put(new("a"))
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    other = open_ledger(ledger_url)
    ask(other, f"count(pg_terminate_backend(pid)) {others}")
    wait_until(lambda: ask(other, f"count(*) {others}") == 0, "nobody else is connected")
    other.close()

    assert desk.claim_one("a").id == "a"
