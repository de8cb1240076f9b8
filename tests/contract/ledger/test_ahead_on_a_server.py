"""What others see before it is on the disk, on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from celeriac.errors import CommitInDoubtError
from celeriac.ledger.leases import Leases
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new
from tests.contract.ledger.test_accepting import one

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def ask(ledger: Ledger, question: str) -> Any:
    return ledger._database.read(
        lambda connection: connection.exec_driver_sql(f"SELECT {question}").scalar()
    )


def test_what_is_accepted_is_seen_first_and_on_the_disk_before_it_is_answered(
    ledger: Ledger,
) -> None:
    seen: dict[str, Any] = {}

    def look(_: object) -> None:
        seen["ids"] = list(ledger.tasks.find_many([new("a").id]))
        # It stands before this in the server's log.
        seen["place"] = ask(ledger, "pg_current_wal_insert_lsn()")

    ledger.submissions.accept([one("a")], look)

    assert seen["ids"] == ["a"]
    assert ask(ledger, f"pg_current_wal_flush_lsn() >= '{seen['place']}'")


def test_a_claim_is_on_the_disk_when_it_is_seen(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(new("a"))
    modes: list[str] = []
    step = Leases._step

    def look(leases: Leases, connection: Connection, *given: Any) -> Any:
        settled = step(leases, connection, *given)
        modes.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
        return settled

    monkeypatch.setattr(Leases, "_step", look)
    desk.claim_one("a")

    assert modes == ["on"]


def test_the_next_write_on_the_connection_waits_for_the_disk_again(ledger: Ledger) -> None:
    ledger.tasks.insert([new("a")])

    assert ask(ledger, "current_setting('synchronous_commit')") == "on"
    assert ask(ledger, "current_setting('plan_cache_mode')") == "force_custom_plan"


def test_a_server_that_falls_after_others_saw_it_leaves_an_acceptance_in_doubt(
    ledger: Ledger,
) -> None:
    def cut(_: object) -> None:
        # All others of this database: the writer's among them.
        ask(
            ledger,
            "count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    with pytest.raises(CommitInDoubtError):
        ledger.submissions.accept([one("a")], cut)

    assert list(ledger.tasks.find_many([new("a").id])) == ["a"]
