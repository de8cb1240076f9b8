from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celeriac.core.outcome import Ended, Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import TaskError, TaskId
from celeriac.core.trouble import Trouble
from celeriac.engine.troubles import TroubleFile, list_troubles
from tests.engines import make_claimed

BROKEN = TaskError(kind=ErrorKind.EXCEPTION, type="OSError", message="gone")
ONE = TaskId("one")


def troubles(
    ending: Ending, *, ended: list[Ended] | None = None, lost: tuple[TaskId, ...] = (), **facts: Any
) -> list[Trouble]:
    """Return what is told of one attempt of the task `one`."""
    claimed = make_claimed("shop.sell", task_id=ONE)
    outcome = Outcome(
        task_id=ONE,
        lease_token=claimed.lease_token,
        ending=ending,
        finished_at=datetime.now(UTC),
        **facts,
    )
    return list_troubles([(claimed, outcome)], ended=ended or [], lost=lost)


def test_a_task_that_failed_is_told_as_the_ledger_has_it() -> None:
    # Lost for the last time: only the ledger knows that it has failed now.
    ends = [Ended(ONE, "failed", error=TaskError(kind=ErrorKind.WORKER_LOST, message="3 times"))]

    (told,) = troubles(Ending.LOST, ended=ends)

    assert (told.task_id, told.name, told.is_final) == (ONE, "shop.sell", True)
    assert (told.kind, told.message) == (ErrorKind.WORKER_LOST, "3 times")


def test_a_limit_is_told_in_seconds() -> None:
    error = TaskError(kind=ErrorKind.TIMEOUT, type="TimeLimitExceeded", arguments="[1.5]")

    (told,) = troubles(Ending.FAILED, ended=[Ended(ONE, "failed", error=error)])

    assert told.limit_seconds == 1.5


def test_an_attempt_that_is_followed_by_another_one_is_told_as_such() -> None:
    (retried,) = troubles(Ending.RETRIED, error=BROKEN)
    (died,) = troubles(Ending.LOST)

    assert (retried.is_final, retried.type, retried.message) == (False, "OSError", "gone")
    assert (died.is_final, died.kind) == (False, ErrorKind.WORKER_LOST)


def test_nothing_is_told_of_what_went_well_or_did_not_count() -> None:
    assert troubles(Ending.COMPLETED, ended=[Ended(ONE, "completed")]) == []
    assert troubles(Ending.CANCELLED, ended=[Ended(ONE, "cancelled")]) == []
    # The neighbour of one that crashed, a task that replaced itself, a lease that was gone.
    assert troubles(Ending.LOST, is_suspect=False) == []
    assert troubles(Ending.RETRIED) == []
    assert troubles(Ending.RETRIED, error=BROKEN, lost=(ONE,)) == []


def test_what_is_written_down_can_be_read_again_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "troubles.log"
    told = troubles(Ending.RETRIED, error=BROKEN)

    TroubleFile(file).write(told)
    TroubleFile(file).write(told)

    assert [Trouble.from_line(line) for line in file.read_text().splitlines()] == [*told, *told]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Trouble.from_line('["half a li') is None
