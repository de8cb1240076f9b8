"""The task names that workers know, as the ledger keeps them."""

from __future__ import annotations

from collections.abc import Collection

from celeriac.core.queue import QueuedName
from celeriac.core.task import TaskId
from tests.contract.ledger.desk import Desk, new, new_worker


def join(desk: Desk, worker_id: str, names: Collection[str] | None) -> None:
    known = None if names is None else frozenset(names)
    desk.ledger.leases.join(new_worker(worker_id, task_names=known))


def known(desk: Desk) -> dict[str, frozenset[str] | None]:
    return {each.id: each.task_names for each in desk.ledger.leases.workers()}


def kept(desk: Desk) -> int:
    (row,) = desk.run_sql("SELECT count(*) FROM repertoires")
    return int(row[0])


def test_a_worker_is_found_with_the_names_it_knows(desk: Desk) -> None:
    join(desk, "w2", {"a", 'b "ü" \\'})
    join(desk, "w3", set())
    # No task can be called so; in SQL the name cannot stand.
    join(desk, "w4", {"a", "\0", "\ud800"})

    assert known(desk) == {
        "w1": None,
        "w2": {"a", 'b "ü" \\'},
        "w3": frozenset(),
        "w4": {"a"},
    }


def test_names_are_kept_once_for_all_who_know_the_same(desk: Desk) -> None:
    names = frozenset(f"reports.task_{number}" for number in range(5000))

    for worker_id in ("w2", "w3", "w4"):
        join(desk, worker_id, names)

    assert kept(desk) == 1
    assert known(desk)["w4"] == names


def test_a_worker_of_an_older_version_is_taken_to_know_everything(desk: Desk) -> None:
    desk.run_sql(
        "INSERT INTO workers (id, name, queues, machine, pid, process_started, pool, slots,"
        " code_version, sequence, started_at, heartbeat_at)"
        " VALUES ('w2', 'old@host', '[\"default\"]', 'm', 1, '1', 'solo', 1, '', 1, 0, 0)"
    )

    (old,) = [each for each in desk.ledger.leases.workers() if each.id == "w2"]

    assert old.task_names is None
    assert old.knows("anything")


def test_names_that_no_worker_knows_any_more_are_forgotten_in_time(desk: Desk) -> None:
    join(desk, "w2", {"a"})
    join(desk, "w3", {"b"})
    desk.ledger.leases.leave("w2")
    join(desk, "w4", {"c"})
    soon = kept(desk)
    desk.later(days=2)

    join(desk, "w5", {"d"})

    # Of a, b, c and d, the first one has nobody.
    assert (soon, kept(desk)) == (3, 3)
    assert known(desk)["w3"] == frozenset({"b"})


def test_names_that_were_lost_make_nobody_know_less(desk: Desk) -> None:
    join(desk, "w2", {"a"})
    desk.run_sql("DELETE FROM repertoires")

    assert known(desk)["w2"] is None


def test_the_names_that_are_queued_are_counted_by_queue(desk: Desk) -> None:
    desk.put(new("a"), new("b"), new("c", name="new"), new("d", queue="other"))
    desk.begin("e")

    assert desk.ledger.queues.queued_names() == (
        QueuedName(queue="default", name="new", count=1),
        QueuedName(queue="default", name="sample.add", count=2),
        QueuedName(queue="other", name="sample.add", count=1),
    )


def test_doorbells_are_of_what_is_queued(desk: Desk) -> None:
    desk.put(new("a", priority=7), new("b"))
    desk.begin("c")
    desk.ledger.tasks.request_cancel("b")

    (bell,) = desk.ledger.tasks.queued_doorbells(
        [TaskId(each) for each in ("a", "b", "c", "unknown", "\0")]
    )

    assert (bell.task_id, bell.name, bell.queue, bell.priority) == ("a", "sample.add", "default", 7)
    assert desk.ledger.tasks.queued_doorbells([]) == []
