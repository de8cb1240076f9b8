"""What PostgreSQL is told at the ends of a transaction, and that nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from celeriac.ledger.leases import Leases
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def ask(ledger: Ledger, question: str) -> Any:
    return ledger._database.read(
        lambda connection: connection.exec_driver_sql(f"SELECT {question}").scalar()
    )


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


def test_the_next_statement_on_the_connection_is_planned_anew(desk: Desk) -> None:
    desk.begin("a")
    ledger = desk.ledger

    assert ask(ledger, "current_setting('enable_seqscan')") == "on"
    assert ask(ledger, "current_setting('plan_cache_mode')") == "force_custom_plan"
