from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from celeriac.core.outcome import Ended, NewChord
from celeriac.core.state import TaskState
from celeriac.core.task import Doorbell, NewTask, Task, TaskId
from celeriac.engine.road import LedgerRoad
from celeriac.errors import TaskIdTakenError
from celeriac.ledger.open import Ledger
from tests.engines import make_arguments
from tests.fakes import open_test_ledger

A, B = TaskId("a"), TaskId("b")


class Broker:
    """A broker that looks into the ledger whenever a doorbell rings."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.found: list[Task | None] = []
        self.told: list[Task | None] = []

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Look what a worker would find."""
        self.found.extend(self._ledger.tasks.find(each.task_id) for each in doorbells)

    def tell(self, ended: Sequence[Ended]) -> None:
        """Look what somebody who waited would find."""
        self.told.extend(self._ledger.tasks.find(each.task_id) for each in ended)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_test_ledger(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def broker(ledger: Ledger) -> Broker:
    return Broker(ledger)


@pytest.fixture
def road(ledger: Ledger, broker: Broker) -> LedgerRoad:
    return LedgerRoad(lambda: ledger, broker.ring, broker.tell)


def _row(task_id: TaskId, *numbers: int, upstream_id: str | None = None) -> NewTask:
    return NewTask(
        id=task_id,
        name="add",
        arguments=make_arguments(*numbers),
        is_waiting=upstream_id is not None,
        upstream_id=upstream_id,
    )


def test_a_row_is_committed_before_its_doorbell_rings(road: LedgerRoad, broker: Broker) -> None:
    road.submit([_row(A)])

    (found,) = broker.found
    assert found is not None
    assert found.state is TaskState.QUEUED


def test_only_what_is_ready_is_rung_for(road: LedgerRoad, broker: Broker) -> None:
    road.submit([_row(A), _row(B, upstream_id="a")])

    assert [each.id for each in broker.found if each] == ["a"]


def test_nothing_rings_for_what_is_refused(road: LedgerRoad, broker: Broker) -> None:
    road.submit([_row(A)])
    broker.found.clear()

    with pytest.raises(TaskIdTakenError):
        road.submit([_row(B), _row(A, 7)])

    assert broker.found == []
    assert road.find([B]) == {}


def test_a_chord_is_found_as_it_was_made(road: LedgerRoad) -> None:
    chord = NewChord(id="chord", size=2, body='{"body":1}', queue="cpu")

    road.submit([_row(B, upstream_id="chord")], (chord,))

    assert road.find_chord("chord") == chord
    assert road.find_chord("another") is None


def test_cancelling_many_leaves_out_what_has_ended_or_never_was(road: LedgerRoad) -> None:
    road.submit([_row(A), _row(B)])
    road.cancel([A])

    road.cancel([A, TaskId("nobody"), B])

    assert {each.state for each in road.find([A, B]).values()} == {TaskState.CANCELLED}


def test_whoever_waits_for_a_cancelled_task_is_told_of_all_that_ended_with_it(
    road: LedgerRoad, broker: Broker
) -> None:
    road.submit([_row(A), _row(B, upstream_id="a")])

    road.cancel([A])

    assert {each.id: each.state for each in broker.told if each} == {
        A: TaskState.CANCELLED,
        B: TaskState.FAILED,
    }


def test_progress_is_told_only_under_the_lease(road: LedgerRoad) -> None:
    road.submit([_row(A)])

    road.report(A, "not mine", "{}")

    assert road.find([A])[A].progress is None
