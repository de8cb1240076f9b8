from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.task import TaskId
from celeriac.engine.pool import strangers as room
from celeriac.engine.pool.strangers import Strangers
from celeriac.ledger.open import Ledger
from celeriac.telemetry import Counters
from tests.fakes import make_new_task, make_new_worker, open_test_ledger


class Hall:
    """Strangers with a clock that the test moves."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = 100.0
        self.rung: list[str] = []
        self.counters = Counters()
        self.strangers = Strangers(
            self.counters,
            lambda bells: self.rung.extend(bell.task_id for bell in bells),
            lambda: self.now,
        )

    def join(self, worker_id: str, *names: str, **facts: Any) -> None:
        """Let a worker join that knows some names."""
        self.ledger.leases.join(make_new_worker(id=worker_id, task_names=frozenset(names), **facts))

    def put(self, *ids: str) -> None:
        """Put tasks into the ledger."""
        self.ledger.tasks.insert([make_new_task(id=TaskId(each), name="new") for each in ids])

    def meet(self, *ids: str) -> None:
        """Let their doorbells come."""
        for each in ids:
            self.strangers.meet(TaskId(each), "new")

    def look_after(self, seconds: float) -> list[str]:
        """Return what was rung since, once some time has passed."""
        self.rung.clear()
        self.now += seconds
        self.strangers.look(self.ledger)
        return list(self.rung)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    ledger = open_test_ledger(tmp_path)
    made = Hall(ledger)
    made.join("old", "add")
    yield made
    ledger.close()


def test_what_a_worker_knows_is_rung_for_it_after_a_moment(hall: Hall) -> None:
    hall.join("young", "add", "new")
    hall.put("a")
    hall.meet("a")

    at_once, later = hall.look_after(0.0), hall.look_after(0.3)

    assert (at_once, later) == ([], ["a"])


def test_what_nobody_knows_is_rung_when_a_worker_has_joined_that_does(hall: Hall) -> None:
    hall.put("a")
    hall.meet("a")

    before = [hall.look_after(2.0) for _ in range(3)]
    hall.join("elsewhere", "new", queues=("other",))
    before.append(hall.look_after(2.0))
    hall.join("young", "new")

    assert before == [[], [], [], []]
    assert hall.look_after(2.0) == ["a"]


def test_what_comes_back_again_and_again_is_rung_at_a_bounded_rate(hall: Hall) -> None:
    ids = [f"task-{number}" for number in range(100)]
    hall.join("young", "new")
    hall.put(*ids)
    began, rung, looks = hall.now, 0, 0

    while hall.now < began + 10:
        hall.meet(*ids)
        came = hall.look_after(0.0)
        # The next look, and nothing before it.
        came += hall.look_after(hall.strangers.due_at - hall.now)
        rung, looks = rung + len(came), looks + 1

    assert 1000 < rung <= 10 * 1000
    assert looks <= 10 / 0.05 + 1


def test_two_doorbells_of_a_task_become_one(hall: Hall) -> None:
    hall.join("young", "new")
    hall.put("a")
    hall.meet("a", "a")
    hall.look_after(0.0)
    hall.meet("a")

    assert hall.look_after(0.3) == ["a"]
    assert hall.look_after(10.0) == []
    assert hall.counters.snapshot()["doorbells_unknown"] == 3


def test_what_has_ended_or_was_never_there_is_forgotten(hall: Hall) -> None:
    hall.join("young", "new")
    hall.put("a")
    hall.ledger.tasks.request_cancel("a")
    hall.meet("a", "made-up", "\0")
    hall.look_after(0.0)

    assert hall.look_after(0.3) == []
    assert hall.strangers.due_at == math.inf


def test_a_worker_that_leaves_rings_for_what_it_has_met(hall: Hall) -> None:
    hall.put("a", "b")
    hall.meet("a", "made-up")
    hall.look_after(2.0)
    hall.meet("b")

    hall.strangers.leave(hall.ledger)

    assert sorted(hall.rung) == ["a", "b"]


def test_only_so_many_are_kept_and_the_rest_is_left_to_the_janitor(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_MOST", 2)
    hall.join("young", "new")
    hall.put("a", "b", "c")
    hall.meet("a", "b", "c")
    hall.look_after(0.0)

    assert sorted(hall.look_after(0.3)) == ["b", "c"]


def test_a_name_is_warned_of_once(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_MOST_NAMES", 2)

    for name in ("new", "new", "newer", "made-up"):
        hall.strangers.meet(TaskId("a"), name)

    assert [(each.levelname, each.args) for each in caplog.records] == [
        ("WARNING", ("new",)),
        ("WARNING", ("newer",)),
    ]
