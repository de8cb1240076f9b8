from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, group, signals

from celeriac.core.task import NewTask, TaskId
from celeriac.engine.lots import current_lot
from celeriac.errors import TaskIdTakenError
from celeriac.ledger.open import Ledger
from tests.engines import open_app
from tests.fakes import open_test_ledger


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    open_test_ledger(tmp_path).close()
    with open_app(tmp_path) as made:

        @made.task(name="add")
        def add(*numbers: int) -> int:
            return sum(numbers)

        yield made


@pytest.fixture
def add(app: Celery) -> Any:
    return app.tasks["add"]


@pytest.fixture
def lots(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ids of each transaction that is asked for, which is then made."""
    road = app.celeriac.road
    seen: list[list[str]] = []
    submit = road.submit

    def submit_and_see(tasks: list[NewTask], *chords: Any) -> None:
        seen.append([task.id for task in tasks])
        submit(tasks, *chords)

    monkeypatch.setattr(road, "submit", submit_and_see)
    return seen


def _find(app: Celery, *ids: str) -> set[str]:
    ledger: Ledger = app.celeriac.ledger
    return set(ledger.tasks.find_many([TaskId(each) for each in ids]))


def test_a_group_is_committed_in_few_transactions(
    app: Celery, add: Any, lots: list[list[str]]
) -> None:
    result = group(add.s(each) for each in range(1_001))()

    assert [len(lot) for lot in lots] == [500, 500, 1]
    assert [each for lot in lots for each in lot] == [each.id for each in result]
    assert len(_find(app, *(each.id for each in result))) == 1_001
    assert current_lot() is None


def test_a_task_that_is_sent_alone_waits_for_nobody(add: Any, lots: list[list[str]]) -> None:
    first = add.delay(1)
    second = add.delay(2)

    assert lots == [[first.id], [second.id]]


def test_groups_within_a_group_share_its_lot(add: Any, lots: list[list[str]]) -> None:
    parts = [group(add.s(1), add.s(2)) | add.s(), add.s(3)]

    group(parts)()

    # A chord with its body and its two parts, and the third.
    assert [len(lot) for lot in lots] == [4]


def test_a_chord_stands_with_its_body_and_its_header_in_one_transaction(
    app: Celery, add: Any, lots: list[list[str]]
) -> None:
    body = chord([add.s(each) for each in range(20)])(add.s())

    # The body before any of its parts: one that ended would not find it.
    assert [len(lot) for lot in lots] == [21]
    assert lots[0][0] == body.id
    sent = app.celeriac.ledger.tasks.find_chord(body.parent.id)
    assert (sent.id, sent.size) == (body.parent.id, 20)


def test_a_chord_of_which_nothing_could_be_sent_is_not_there(app: Celery, add: Any) -> None:
    with pytest.raises(TypeError):
        chord([add.s(object())])(add.s().set(task_id="body"))

    assert app.celeriac.ledger.tasks.count_unfinished() == {}
    assert current_lot() is None


def test_a_large_header_is_sent_in_lots_with_the_chord_in_the_first(
    add: Any, lots: list[list[str]]
) -> None:
    body = chord([add.s(each) for each in range(700)])(add.s())

    assert [len(lot) for lot in lots] == [500, 201]
    assert lots[0][0] == body.id


def test_a_task_is_told_of_as_sent_when_it_is_committed(app: Celery, add: Any) -> None:
    told: list[bool] = []

    def on_sent(headers: dict[str, Any], **_: Any) -> None:
        told.append(bool(_find(app, headers["id"])))

    with _listening(on_sent):
        group(add.s(each) for each in range(3))()

    assert told == [True] * 3


def test_a_taken_id_costs_none_of_those_before_it(app: Celery, add: Any) -> None:
    add.apply_async((7,), task_id="taken")
    tasks = [add.s(each).set(task_id=f"task-{each}") for each in range(4)]
    tasks[2].set(task_id="taken")

    with pytest.raises(TaskIdTakenError):
        group(tasks)()

    assert _find(app, "task-0", "task-1", "task-3") == {"task-0", "task-1"}


def test_what_cannot_be_sent_costs_none_of_those_before_it(app: Celery, add: Any) -> None:
    tasks = [add.s(1).set(task_id="good"), add.s(object()).set(task_id="bad")]

    with pytest.raises(TypeError):
        group(tasks)()

    assert _find(app, "good", "bad") == {"good"}
    assert current_lot() is None


@contextmanager
def _listening(receiver: Any) -> Iterator[None]:
    signals.after_task_publish.connect(receiver, weak=False)
    try:
        yield
    finally:
        signals.after_task_publish.disconnect(receiver)
