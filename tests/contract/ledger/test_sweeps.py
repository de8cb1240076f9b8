from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.core.moments import to_micros
from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskId
from celeriac.ledger.leadership import NOBODY, LeaseView
from celeriac.ledger.open import Ledger
from celeriac.ledger.sweep_statements import ended_since_statement
from tests.contract.ledger.desk import Desk, new, new_chord, states_of, waiting

AGAIN = timedelta(seconds=30)


def ring(desk: Desk, queue: str = "default", limit: int = 100) -> list[str]:
    """Return the ids of what is due to be rung."""
    return [
        bell.task_id for bell in desk.ledger.sweeps.due_to_ring(queue, limit=limit, again=AGAIN)
    ]


def test_a_clock_that_is_set_back_leaves_no_doorbell_unrung(desk: Desk) -> None:
    desk.put(new("t1"))
    assert ring(desk) == []

    desk.later(seconds=-3600)

    assert ring(desk) == ["t1"]
    assert ring(desk) == []
    desk.later(seconds=AGAIN.total_seconds() * 2)
    assert ring(desk) == ["t1"]


def test_scheduled_tasks_are_queued_when_their_time_has_come(desk: Desk, ledger: Ledger) -> None:
    desk.put(*(new(f"t{number}", not_before=desk.soon(seconds=number)) for number in (1, 2, 3)))
    desk.later(seconds=2)

    doorbells = ledger.sweeps.promote()

    assert {bell.task_id for bell in doorbells} == {"t1", "t2"}
    assert (desk.state("t1"), desk.get("t1").version) == (TaskState.QUEUED, 2)
    assert desk.state("t3") is TaskState.SCHEDULED
    assert ledger.sweeps.promote() == []


def test_tasks_are_promoted_in_small_bites_oldest_first(desk: Desk, ledger: Ledger) -> None:
    desk.put(*(new(f"t{number}", not_before=desk.soon(seconds=9 - number)) for number in range(5)))
    desk.later(seconds=60)

    assert {bell.task_id for bell in ledger.sweeps.promote(limit=2)} == {"t4", "t3"}
    assert len(ledger.sweeps.promote(limit=2)) == 2


def test_what_nobody_began_in_time_expires(desk: Desk, ledger: Ledger) -> None:
    in_time = desk.soon(seconds=5)
    desk.put(new("up"), new("queued", expires_at=in_time))
    desk.put(new("scheduled", expires_at=in_time, not_before=desk.soon(hours=1)))
    desk.put(
        waiting("waiting", "up", expires_at=in_time), new("later", expires_at=desk.soon(hours=1))
    )
    desk.begin("running", expires_at=in_time)
    desk.later(seconds=5)

    ended = ledger.sweeps.expire()

    assert states_of(ended) == {"queued": "expired", "scheduled": "expired"}
    assert desk.state("running") is TaskState.RUNNING
    assert desk.state("waiting") is TaskState.WAITING
    assert ledger.sweeps.expire() == []


def test_a_queued_task_whose_doorbell_seems_lost_is_rung_ever_more_seldom(desk: Desk) -> None:
    desk.put(new("a"))
    desk.later(seconds=29)
    assert ring(desk) == []

    pauses = []
    for _ in range(8):
        pause = 0
        while not ring(desk):
            desk.later(seconds=1)
            pause += 1
        pauses.append(pause)

    assert pauses == [1, 30, 60, 120, 240, 480, 600, 600]


def test_what_is_urgent_and_old_is_rung_first(desk: Desk) -> None:
    for name, priority in [("b", 5), ("c", 5), ("a", 9), ("z", 0)]:
        desk.put(new(name, priority=priority))
        desk.later(seconds=1)
    desk.put(new("other", queue="other"))
    desk.later(minutes=1)

    assert ring(desk, limit=3) == ["a", "b", "c"]
    assert ring(desk) == ["z"]
    assert ring(desk, "other") == ["other"]


def test_only_what_is_queued_is_rung(desk: Desk) -> None:
    desk.put(new("done"), new("later", not_before=desk.soon(hours=1)), waiting("next", "later"))
    desk.complete(desk.claim_one("done"))
    desk.begin("running")

    desk.ledger.sweeps.ring_all_due()
    desk.later(minutes=5)

    assert ring(desk) == []


def test_everything_is_rung_again_when_the_broker_has_forgotten(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"), new("b"), new("c", queue="other"))

    assert ledger.sweeps.ring_all_due("other") == 1
    assert (ring(desk), ring(desk, "other")) == ([], ["c"])
    assert ledger.sweeps.ring_all_due() == 3
    assert sorted(ring(desk)) == ["a", "b"]


def test_queued_tasks_are_counted_by_queue(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"), new("b"), new("c", queue="other"), new("d", not_before=desk.soon(hours=1)))
    desk.begin("running")

    assert ledger.sweeps.queue_counts() == {"default": 2, "other": 1}


def test_a_reaped_workers_tasks_go_back(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"), new("b", queue="default"), new("c"))
    desk.claim("a", "b")
    desk.colleague("w2").claim("c")

    reaped = ledger.sweeps.reap("w1", 1)

    assert reaped.is_reaped
    assert {bell.task_id for bell in reaped.doorbells} == {"a", "b"}
    assert (desk.state("a"), desk.get("a").crashes) == (TaskState.QUEUED, 1)
    assert desk.endings("a") == ["lost"]
    assert desk.state("c") is TaskState.RUNNING
    assert [worker.id for worker in ledger.leases.workers()] == ["w2"]


def test_a_worker_whose_heart_has_beaten_is_not_reaped(desk: Desk, ledger: Ledger) -> None:
    desk.begin("a")
    ledger.leases.beat("w1")

    reaped = ledger.sweeps.reap("w1", 1)

    assert not reaped.is_reaped
    assert desk.state("a") is TaskState.RUNNING
    assert not ledger.sweeps.reap("nobody", 1).is_reaped


def test_only_what_was_truly_running_is_charged_with_a_crash(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"), new("b", max_crashes=1), new("c", max_crashes=1))
    desk.claim("a", "b", "c")

    reaped = ledger.sweeps.reap("w1", 1, crashed=frozenset({TaskId("a"), TaskId("c")}))

    assert (desk.get("a").crashes, desk.state("a")) == (1, TaskState.QUEUED)
    assert (desk.get("b").crashes, desk.state("b")) == (0, TaskState.QUEUED)
    assert states_of(reaped.ended) == {"c": "failed"}


def test_an_at_most_once_task_of_a_reaped_worker_is_indeterminate(
    desk: Desk, ledger: Ledger
) -> None:
    desk.begin("a", at_most_once=True)

    reaped = ledger.sweeps.reap("w1", 1)

    error = desk.get("a").error
    assert error is not None
    assert (reaped.doorbells, error.kind) == ((), ErrorKind.INDETERMINATE)


def test_a_reaped_workers_task_that_shall_stop_is_cancelled(desk: Desk, ledger: Ledger) -> None:
    desk.begin("a")
    ledger.tasks.request_cancel("a")

    ledger.sweeps.reap("w1", 1)

    assert desk.state("a") is TaskState.CANCELLED


def test_a_waiting_task_without_an_upstream_that_goes_on_is_ended(
    desk: Desk, ledger: Ledger
) -> None:
    desk.put(new("done"), waiting("forgotten", "done"), waiting("down", "forgotten"))
    desk.put(waiting("lost", "never existed"), new("alive"), waiting("fine", "alive"))
    desk.put(waiting("body", "no such chord"))
    desk.complete(desk.claim_one("done"))

    ended = ledger.sweeps.fail_orphans()

    assert set(states_of(ended)) == {"forgotten", "down", "lost", "body"}
    error = desk.get("lost").error
    assert error is not None
    assert (error.kind, "never existed" in error.message) == (ErrorKind.UPSTREAM, True)
    assert desk.state("fine") is TaskState.WAITING
    assert ledger.sweeps.fail_orphans() == []


def test_a_body_is_no_orphan_while_its_chord_goes_on(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("p", chord_id="c"), waiting("body", "c"), chords=[new_chord("c", 1)])

    before = ledger.sweeps.fail_orphans()
    desk.complete(desk.claim_one("p"))
    firing = ledger.sweeps.fail_orphans()
    desk.complete(desk.claim_one("c:fire"))
    after = ledger.sweeps.fail_orphans()

    assert (before, firing) == ([], [])
    assert states_of(after) == {"body": "failed"}


def test_a_replaced_task_is_no_orphan_while_its_canvas_goes_on(desk: Desk, ledger: Ledger) -> None:
    desk.end(
        desk.begin("a"),
        Ending.REPLACED,
        resend=waiting("a", "inner"),
        continuations=(new("inner"),),
    )

    assert ledger.sweeps.fail_orphans() == []


def test_orphans_are_ended_in_small_bites(desk: Desk, ledger: Ledger) -> None:
    desk.put(*(waiting(f"t{number}", "nobody") for number in range(5)))

    assert len(ledger.sweeps.fail_orphans(limit=3)) == 3
    assert len(ledger.sweeps.fail_orphans(limit=3)) == 2


@pytest.mark.parametrize("sweep", ["promote", "expire", "fail_orphans"])
def test_a_sweep_with_nothing_to_do_writes_nothing(ledger: Ledger, sweep: str) -> None:
    def refuse(act: object) -> None:
        raise AssertionError("a transaction was opened")

    ledger._database.write = refuse  # type: ignore[method-assign, assignment]

    assert getattr(ledger.sweeps, sweep)() == []


def test_one_leads_until_another_has_seen_it_stand_still(ledger: Ledger) -> None:
    sweeps = ledger.sweeps

    assert sweeps.leadership("janitor") == NOBODY
    assert sweeps.take_leadership("janitor", "ada", NOBODY.sequence)
    assert not sweeps.take_leadership("janitor", "bob", NOBODY.sequence)
    assert sweeps.leadership("janitor") == LeaseView("ada", 1)
    assert sweeps.keep_leadership("janitor", "ada")
    # Bob watched while ada still beat.
    assert not sweeps.take_leadership("janitor", "bob", 1)
    assert sweeps.take_leadership("janitor", "bob", 2)
    assert not sweeps.keep_leadership("janitor", "ada")
    assert sweeps.leadership("janitor") == LeaseView("bob", 3)
    assert sweeps.leadership("other") == NOBODY


def test_a_leader_that_leaves_need_not_be_waited_for(ledger: Ledger) -> None:
    sweeps = ledger.sweeps
    sweeps.take_leadership("janitor", "ada", 0)

    sweeps.leave_leadership("janitor", "bob")
    sweeps.leave_leadership("janitor", "ada")

    view = sweeps.leadership("janitor")
    assert view == LeaseView("", 2)
    assert sweeps.take_leadership("janitor", "bob", view.sequence)


def test_what_has_ended_since_a_moment_is_told_once_each_in_small_bites(
    desk: Desk, ledger: Ledger
) -> None:
    # Given: one that came too long ago, one that ended before, one that came before and ended
    # after, five that end in two moments, and one that runs
    ancient = desk.begin("ancient")
    desk.clock.advance(hours=1)
    desk.complete(desk.begin("before"))
    early = desk.begin("early")
    desk.clock.advance(seconds=10)
    since = desk.clock()
    for name in ("c", "a", "b"):
        desk.complete(desk.begin(name), result=f'"{name}"')
    desk.complete(early)
    desk.complete(ancient)
    desk.clock.advance(seconds=3)
    for name in ("e", "d"):
        desk.complete(desk.begin(name))
    desk.begin("runs")

    bites = list(ledger.sweeps.ended_since(since))

    told = [[each.task_id for each in bite] for bite in bites]
    assert told == [["early"], ["a", "b", "c"], ["d", "e"]]
    assert bites[1][0].result == '"a"'


def test_what_ended_of_a_crowd_that_came_at_once_is_told_in_small_bites(
    desk: Desk, ledger: Ledger
) -> None:
    ids = [f"{number:03}" for number in range(450)]
    desk.put(*(new(each) for each in ids))
    for each in desk.claim(*ids):
        desk.complete(each)

    bites = list(ledger.sweeps.ended_since(desk.clock()))

    assert [len(bite) for bite in bites] == [200, 200, 50]
    assert [each.task_id for bite in bites for each in bite] == ids


def test_what_has_ended_is_found_by_an_index(desk: Desk, ledger_url: str) -> None:
    for second in range(20):
        desk.put(*(new(f"{second}-{number}") for number in range(50)))
        desk.clock.advance(seconds=1)
    newest = to_micros(desk.clock())
    given = {"begin": newest - 2_000_000, "end": newest, "since": 1, "after": "", "limit": 200}
    query = ended_since_statement().compile(desk.ledger._database.engine)

    with desk.ledger._database.engine.connect() as connection:
        if ledger_url.startswith("sqlite"):
            # SQLAlchemy says an OFFSET behind each LIMIT.
            told = {**query.params, **given}
            values = tuple(told[each] for each in query.positiontup or ())
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        else:
            connection.exec_driver_sql("ANALYZE tasks")
            rows = connection.exec_driver_sql(f"EXPLAIN {query}", given).fetchall()

    assert "tasks_newest" in str(rows)
