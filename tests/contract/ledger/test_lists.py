from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.moments import to_micros
from celeriac.core.page import MAX_PAGE_SIZE, Cursor, TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import Glance, TaskId
from celeriac.errors import InvalidOptionError
from celeriac.ledger.open import Ledger
from celeriac.ledger.reads import MOST_COUNTED, _before_statement
from tests.contract.ledger.desk import Desk, new, waiting


def all_pages(ledger: Ledger, wanted: TaskFilter, limit: int) -> list[list[str]]:
    """Return the ids of every page of a list."""
    pages = []
    after: Cursor | None = None
    while True:
        page = ledger.tasks.list(wanted, after=after, limit=limit)
        pages.append([str(task.id) for task in page.items])
        if page.next is None:
            return pages
        after = page.next


def test_a_list_is_newest_first_in_pages_without_gap_or_repetition(desk: Desk) -> None:
    # Three at each moment: the ids decide among them.
    for moment in range(3):
        desk.put(*(new(f"{moment}{letter}") for letter in "bca"))
        desk.later(microseconds=1)

    pages = all_pages(desk.ledger, TaskFilter(), 4)

    assert pages == [["2c", "2b", "2a", "1c"], ["1b", "1a", "0c", "0b"], ["0a"]]


def test_a_page_that_is_exactly_full_is_the_last(desk: Desk) -> None:
    desk.put(new("a"), new("b"))

    assert all_pages(desk.ledger, TaskFilter(), 2) == [["b", "a"]]
    assert all_pages(desk.ledger, TaskFilter(name="nobody"), 2) == [[]]


def test_tasks_put_in_meanwhile_do_not_move_the_pages(desk: Desk) -> None:
    desk.put(*(new(f"old-{number}") for number in range(4)))
    first = desk.ledger.tasks.list(TaskFilter(), after=None, limit=2)
    desk.later(seconds=1)
    desk.put(new("new"))

    second = desk.ledger.tasks.list(TaskFilter(), after=first.next, limit=2)

    assert [task.id for task in second.items] == ["old-1", "old-0"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"states": (TaskState.RUNNING,)}, ["running"]),
        ({"states": (TaskState.RUNNING, TaskState.SCHEDULED)}, ["scheduled", "running"]),
        ({"name": "sample.other"}, ["named"]),
        ({"queue": "high_priority"}, ["queued"]),
        ({"submitted_by": "ada"}, ["tagged"]),
        ({"tag": 'it\'s "red"'}, ["tagged"]),
        # A tag is a whole one, not a part of one.
        ({"tag": "red"}, []),
        ({"submitted_by": "ada", "queue": "high_priority"}, []),
        # What cannot be kept is never found.
        ({"name": "\0"}, []),
        ({"tag": "\ud800"}, []),
    ],
)
def test_a_list_has_only_what_matches_every_field(
    desk: Desk, wanted: dict[str, Any], found: list[str]
) -> None:
    desk.begin("running")
    desk.put(
        new("named", name="sample.other"),
        new("queued", queue="high_priority"),
        new("scheduled", not_before=desk.soon(hours=1)),
        new("tagged", submitted_by="ada", tags=('it\'s "red"', "green")),
    )

    assert all_pages(desk.ledger, TaskFilter(**wanted), 9) == [found]


def test_a_list_may_begin_at_a_moment(desk: Desk) -> None:
    desk.put(new("before"))
    desk.later(seconds=1)
    desk.put(new("at"))

    wanted = TaskFilter(since=desk.clock())

    assert all_pages(desk.ledger, wanted, 9) == [["at"]]
    assert all_pages(desk.ledger, TaskFilter(since=desk.clock() - timedelta(hours=1)), 9) == [
        ["at", "before"]
    ]


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_a_bounded_length(ledger: Ledger, limit: int) -> None:
    with pytest.raises(InvalidOptionError):
        ledger.tasks.list(TaskFilter(), after=None, limit=limit)


def test_lists_of_a_long_ledger_walk_an_index(ledger: Ledger, ledger_url: str) -> None:
    if not ledger_url.startswith("sqlite"):
        # PostgreSQL decides by the length of the table; there is no honest small test of it.
        return
    after = Cursor(created_at=ledger.tasks._clock(), id="a")  # type: ignore[arg-type]
    for wanted, index in [
        (TaskFilter(), "tasks_newest"),
        (TaskFilter(submitted_by="ada"), "tasks_of_submitter"),
    ]:
        plan = explain(ledger, wanted, after)

        assert index in plan
        assert "TEMP B-TREE" not in plan


def test_a_glance_shows_the_newest_of_a_submitter_and_no_more_than_a_page(desk: Desk) -> None:
    desk.put(*(new(f"old-{number:03}", submitted_by="ada") for number in range(MAX_PAGE_SIZE)))
    desk.put(new("other", submitted_by="eve"), new("nobody"))
    desk.clock.advance(seconds=1)
    desk.put(new("new", name="sample.subtract", submitted_by="ada"))

    found = desk.ledger.tasks.glance_at_newest("ada")

    assert len(found) == MAX_PAGE_SIZE
    assert found[0] == Glance(id=TaskId("new"), name="sample.subtract", state=TaskState.QUEUED)
    assert found[1].id == "old-199"
    assert desk.ledger.tasks.glance_at_newest("nobody at all") == ()
    assert desk.ledger.tasks.glance_at_newest("a\0b") == ()


def explain(ledger: Ledger, wanted: TaskFilter, after: Cursor) -> str:
    """Return how SQLite would read a list."""
    from celeriac.ledger.reads import _listing

    engine = ledger._database.engine
    query = _listing("sqlite", wanted, after).compile(
        engine, compile_kwargs={"literal_binds": True}
    )
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").fetchall()
    return " ".join(row[3] for row in rows)


def test_what_has_not_ended_is_counted_by_queue_and_state(desk: Desk) -> None:
    desk.put(new("a"), new("b"), new("c", queue="slow"))
    later = desk.clock() + timedelta(minutes=1)
    desk.put(new("d", not_before=later), waiting("e", "a"))
    desk.claim_one("a")
    desk.complete(desk.claim_one("b"))

    assert desk.ledger.tasks.count_unfinished() == {
        ("default", "running"): 1,
        ("default", "scheduled"): 1,
        ("default", "waiting"): 1,
        ("slow", "queued"): 1,
    }


def test_an_empty_ledger_counts_nothing(desk: Desk) -> None:
    assert desk.ledger.tasks.count_unfinished() == {}


def test_what_goes_before_a_task_is_of_its_queue_and_of_more_right(desk: Desk) -> None:
    desk.put(new("early"), new("b"), new("c"), new("other", queue="slow"), new("d", priority=6))
    desk.later(seconds=1)
    desk.put(new("late"), new("urgent", priority=9))
    desk.claim_one("early")

    tasks = desk.ledger.tasks
    before = {each: tasks.count_before(tasks.get(each)) for each in "bcd"}
    assert before == {"b": 2, "c": 3, "d": 1}
    assert tasks.count_before(tasks.get("late")) == 4
    assert tasks.count_before(tasks.get("urgent")) == 0
    assert tasks.count_before(tasks.get("other")) == 0


def test_no_more_than_a_thousand_are_counted_before_a_task(desk: Desk) -> None:
    desk.put(*(new(f"high-{number:04}", priority=7) for number in range(600)))
    desk.put(*(new(f"same-{number:04}") for number in range(600)), new("z"))

    tasks = desk.ledger.tasks

    assert tasks.count_before(tasks.get("same-0000")) == 600
    assert tasks.count_before(tasks.get("z")) == MOST_COUNTED + 1


def test_what_goes_before_a_task_is_counted_in_the_index(desk: Desk, ledger_url: str) -> None:
    # Of an empty table any index is as good as another: let there be many in other queues.
    desk.put(*(new(f"{number:04}", queue=f"queue-{number % 20}") for number in range(1000)))
    last = desk.ledger.tasks.get("0999")
    given: dict[str, Any] = {
        "queue": last.queue,
        "priority": last.priority,
        "created_at": to_micros(last.created_at),
        "id": last.id,
    }
    query = _before_statement().compile(desk.ledger._database.engine)
    values = {**query.params, **given}

    with desk.ledger._database.engine.connect() as connection:
        if ledger_url.startswith("sqlite"):
            rows = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {query}",
                tuple(values[each] for each in query.positiontup or ()),
            ).fetchall()
            plan = " ".join(row[3] for row in rows)
        else:
            connection.exec_driver_sql("ANALYZE tasks")
            rows = connection.exec_driver_sql(f"EXPLAIN {query}", values).fetchall()
            plan = " ".join(row[0] for row in rows)

    assert plan.count("tasks_queued") == 2
    assert "SCAN tasks" not in plan
    assert "Seq Scan" not in plan
