"""What others see before it is on the disk, on SQLite; and what nobody sees before."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from celeriac.core.outcome import Ending
from celeriac.core.task import Doorbell
from celeriac.errors import CommitInDoubtError
from celeriac.ledger import ahead as ahead_module
from celeriac.ledger.claims import Claims
from celeriac.ledger.completions import Completions
from celeriac.ledger.database import Database
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new
from tests.contract.ledger.test_accepting import many, one
from tests.fakes import Clock, open_test_ledger


class Disk:
    """Notes what happens, and at each sync what the files hold by then."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.happened: list[str] = []
        # The ids of the tasks that would be there after a power cut.
        self.kept: list[str] = []
        self.error: OSError | None = None
        self._sync = ahead_module._sync
        monkeypatch.setattr(ahead_module, "_sync", self)

    def __call__(self, descriptor: int) -> None:
        self.happened.append("sync")
        if self.error is not None:
            raise self.error
        self._sync(descriptor)
        self.kept = self._look()

    def _look(self) -> list[str]:
        copies = self.folder / "copies"
        copies.mkdir(exist_ok=True)
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(self.folder / name, copies / name)
        with sqlite3.connect(copies / "ledger.db") as connection:
            found = connection.execute("SELECT id FROM tasks ORDER BY id").fetchall()
        connection.close()
        return [row[0] for row in found]


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = open_test_ledger(tmp_path, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_what_is_accepted_is_seen_first_and_on_the_disk_before_it_is_answered(
    ledger: Ledger, disk: Disk
) -> None:
    beside = Database(str(ledger._database.url))

    def seen(_: object) -> None:
        # Another process would see it now, and has its turn to write.
        beside.write(lambda connection: connection.exec_driver_sql("UPDATE tasks SET priority = 9"))
        disk.happened.append("seen")

    ledger.submissions.accept([one("a"), one("b")], seen)
    beside.close()

    assert disk.happened == ["seen", "sync"]
    assert disk.kept == ["a", "b"]
    assert ledger.tasks.get(one("a").tasks[0].task.id).priority == 9  # type: ignore[union-attr]


def test_what_a_program_sends_is_seen_first_and_on_the_disk_before_it_goes_on(
    ledger: Ledger, disk: Disk
) -> None:
    told: list[str] = []

    def seen(bells: list[Doorbell | None]) -> None:
        disk.happened.append("seen")
        told.extend(bell.task_id for bell in bells if bell is not None)

    ledger.tasks.insert([new("a"), new("b")], seen=seen)

    assert disk.happened == ["seen", "sync"]
    assert disk.kept == told == ["a", "b"]


def test_what_is_found_out_to_be_bad_is_told_of_once(ledger: Ledger, disk: Disk) -> None:
    told: list[int] = []

    ledger.submissions.accept(
        [many("a", "b", bad=["b"])], lambda answers: told.append(len(answers))
    )

    assert told == [1]
    assert disk.kept == ["a"]


def test_a_disk_that_fails_leaves_an_acceptance_in_doubt(ledger: Ledger, disk: Disk) -> None:
    disk.error = OSError(5, "Input/output error")

    with pytest.raises(CommitInDoubtError):
        ledger.submissions.accept([one("a")])


def test_a_claim_waits_for_the_disk_only_if_it_must_never_be_made_again(
    desk: Desk, disk: Disk
) -> None:
    desk.put(new("often"), new("once", at_most_once=True))
    disk.happened.clear()

    desk.claim_one("often")
    assert disk.happened == []

    desk.claim_one("once")
    assert disk.happened == ["sync"]


def test_an_end_is_on_the_disk_before_anybody_sees_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(new("a"), new("b"))
    held = desk.claim_one("a")
    modes: list[int] = []
    claim, finish = Claims.claim, Completions.finish

    def note(connection: Connection) -> None:
        modes.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    def claim_and_note(claims: Claims, connection: Connection, *given: Any, **how: Any) -> Any:
        note(connection)
        return claim(claims, connection, *given, **how)

    def finish_and_note(completions: Completions, connection: Connection, *given: Any) -> Any:
        note(connection)
        return finish(completions, connection, *given)

    monkeypatch.setattr(Claims, "claim", claim_and_note)
    monkeypatch.setattr(Completions, "finish", finish_and_note)
    desk.exchange(wanted=["b"])
    desk.end(held, Ending.COMPLETED, result="3")

    # NORMAL with claims alone, FULL with an end.
    assert modes == [1, 2]


def test_the_next_write_on_the_connection_waits_for_the_disk_again(
    ledger: Ledger, desk: Desk, disk: Disk
) -> None:
    desk.put(new("a"))
    desk.claim_one("a")

    with ledger._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_where_it_is_not_possible_a_commit_is_on_the_disk_when_it_is_seen(
    ledger: Ledger, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.ledger.file_access.IS_POSSIBLE", False)

    ledger.submissions.accept([one("a")], lambda _: disk.happened.append("seen"))

    assert disk.happened == ["seen"]
