"""Each guard of an invariant, and that its test would notice if it were gone.

A scenario tells what a guard keeps from happening. It is played twice: as the ledger is, and with
the guard's words taken out of the ledger's SQL, where it must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter

import pytest
from sqlalchemy.exc import DBAPIError

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import FINAL_STATES, FOLLOWERS, TaskState
from celeriac.core.task import TaskId
from celeriac.ledger.statement import Statement
from tests.contract.ledger.desk import Desk, new, new_chord, waiting

# What a row in each state has to have.
BELONGINGS = {
    TaskState.WAITING: "upstream_id = 'x'",
    TaskState.SCHEDULED: "not_before = 1",
    TaskState.QUEUED: "ring_due_at = 1",
    TaskState.RUNNING: "lease_token = 't', worker_id = 'w'",
    **dict.fromkeys(FINAL_STATES, "finished_at = 1"),
}
NOTHING = (
    "upstream_id = NULL, lease_token = NULL, worker_id = NULL, finished_at = NULL,"
    " not_before = NULL, ring_due_at = NULL"
)


def one_holder(desk: Desk) -> None:
    first = desk.begin("a")

    desk.colleague("w2").claim("a")

    assert desk.complete(first).lost == ()


def only_the_holder_completes(desk: Desk) -> None:
    stale = desk.begin("a")
    desk.ledger.sweeps.reap("w1", 1)
    fresh = desk.colleague("w2").claim_one("a")

    desk.complete(stale)

    assert desk.state("a") is TaskState.RUNNING
    assert desk.complete(fresh).lost == ()


def only_the_holder_fails(desk: Desk) -> None:
    stale = desk.begin("a")
    desk.ledger.sweeps.reap("w1", 1)
    fresh = desk.colleague("w2").claim_one("a")

    desk.fail(stale)

    assert desk.state("a") is TaskState.RUNNING
    assert desk.fail(fresh).lost == ()


def only_a_running_task_is_completed(desk: Desk) -> None:
    held = desk.begin("a")
    # A token that was left behind, which no CHECK would let stand.
    desk.end(held, Ending.RETURNED)
    again = Outcome(
        task_id=TaskId("a"),
        lease_token=held.lease_token,
        ending=Ending.COMPLETED,
        finished_at=desk.clock(),
    )

    assert desk.exchange(again).lost == ("a",)


def only_served_queues_are_claimed(desk: Desk) -> None:
    desk.put(new("a", queue="high_priority"))

    assert desk.claim("a") == []


def nothing_of_a_paused_queue_is_claimed(desk: Desk) -> None:
    desk.put(new("a"))
    desk.ledger.queues.pause("default", by=None)

    assert desk.claim("a") == []


def no_cancelled_task_is_claimed(desk: Desk) -> None:
    desk.put(new("a"))
    desk.run_sql("UPDATE tasks SET cancel_requested_at = 1")

    assert desk.claim("a") == []


def no_expired_task_is_claimed(desk: Desk) -> None:
    desk.put(new("a", expires_at=desk.soon(seconds=1)))
    desk.later(seconds=1)

    assert desk.claim("a") == []


def only_the_holder_tells_progress(desk: Desk) -> None:
    held = desk.begin("a")

    desk.ledger.tasks.set_progress([(held.id, "another token", "{}")])

    assert desk.get("a").progress is None


def only_a_worker_that_stands_still_is_reaped(desk: Desk) -> None:
    desk.ledger.leases.beat("w1")

    assert not desk.ledger.sweeps.reap("w1", 1).is_reaped


def only_a_leader_that_stands_still_is_followed(desk: Desk) -> None:
    sweeps = desk.ledger.sweeps
    sweeps.take_leadership("janitor", "ada", 0)
    sweeps.keep_leadership("janitor", "ada")

    assert not sweeps.take_leadership("janitor", "bob", 1)


def only_the_leader_keeps_its_leadership(desk: Desk) -> None:
    desk.ledger.sweeps.take_leadership("janitor", "ada", 0)

    assert not desk.ledger.sweeps.keep_leadership("janitor", "bob")


def no_task_is_queued_before_its_time(desk: Desk) -> None:
    desk.put(new("now", not_before=desk.soon(seconds=1)), new("a", not_before=desk.soon(hours=1)))
    desk.later(seconds=1)

    desk.ledger.sweeps.promote()

    assert desk.state("a") is TaskState.SCHEDULED


def what_waits_rightly_goes_on_waiting(desk: Desk) -> None:
    desk.put(new("a"), waiting("b", "a"), waiting("orphan", "nobody"))

    desk.ledger.sweeps.fail_orphans()

    assert desk.state("b") is TaskState.WAITING


def a_body_goes_on_waiting_for_its_chord(desk: Desk) -> None:
    desk.put(new("p", chord_id="c"), waiting("b", "c"), waiting("orphan", "nobody"))
    desk.put(chords=[new_chord("c", 1)])

    desk.ledger.sweeps.fail_orphans()

    assert desk.state("b") is TaskState.WAITING


@dataclass(frozen=True)
class Guard:
    """A condition in a statement of the ledger, and what it keeps from happening."""

    scenario: Callable[[Desk], None]
    room: str
    statement: str
    words: str


HELD_BY = "tasks.lease_token = incoming.lease_token"
GUARDS = [
    # I2: one holder, and only it completes.
    Guard(one_holder, "leases._claims", "_claim_alone", "tasks.state = 'queued'"),
    Guard(only_the_holder_completes, "leases._completions", "_finish", HELD_BY),
    Guard(only_the_holder_fails, "leases._completions", "_hold", HELD_BY),
    Guard(only_the_holder_tells_progress, "tasks", "_progress", "tasks.lease_token = incoming"),
    # I6: what runs is what the ledger says.
    Guard(only_served_queues_are_claimed, "leases._claims", "_claim_alone", "tasks.queue"),
    Guard(
        nothing_of_a_paused_queue_is_claimed,
        "leases._claims",
        "_claim_alone",
        "(tasks.queue NOT IN",
    ),
    Guard(
        no_cancelled_task_is_claimed,
        "leases._claims",
        "_claim_alone",
        "tasks.cancel_requested_at IS NULL",
    ),
    Guard(no_expired_task_is_claimed, "leases._claims", "_claim_alone", "tasks.expires_at"),
    # I5: by sequence numbers, not by clocks.
    Guard(only_a_worker_that_stands_still_is_reaped, "leases", "_remove", "workers.sequence ="),
    Guard(only_a_leader_that_stands_still_is_followed, "sweeps", "_take", "leases.sequence ="),
    Guard(only_the_leader_keeps_its_leadership, "sweeps", "_keep", "leases.holder ="),
    Guard(no_task_is_queued_before_its_time, "sweeps", "_promote", "tasks.not_before <="),
    # I7: no waiting row without an upstream that goes on.
    Guard(what_waits_rightly_goes_on_waiting, "sweeps", "_orphans", "NOT (EXISTS (SELECT upstream"),
    Guard(a_body_goes_on_waiting_for_its_chord, "sweeps", "_orphans", "NOT (EXISTS (SELECT chords"),
]


@pytest.mark.parametrize(
    "scenario",
    [*(guard.scenario for guard in GUARDS), only_a_running_task_is_completed],
    ids=lambda scenario: scenario.__name__,
)
def test_a_guard_keeps_what_it_shall_keep(desk: Desk, scenario: Callable[[Desk], None]) -> None:
    scenario(desk)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.scenario.__name__)
def test_a_guard_that_is_taken_away_is_missed(desk: Desk, guard: Guard) -> None:
    take_away(desk, guard)

    with pytest.raises(AssertionError):
        guard.scenario(desk)


def take_away(desk: Desk, guard: Guard) -> None:
    """Put TRUE in the place of a condition."""
    holder = attrgetter(guard.room)(desk.ledger)
    statement: Statement = getattr(holder, guard.statement)
    statement._compile()
    text = " ".join(statement._text.split())
    begin = text.index(guard.words)
    end = end_of_condition(text, begin)
    statement._text = f"{text[:begin]} (1 = 1) {text[end:]}"
    if statement._names is not None:
        # The driver counts its question marks.
        gone = text[begin:end].count("?")
        before = text[:begin].count("?")
        names = list(statement._names)
        del names[before : before + gone]
        statement._names = tuple(names)


def end_of_condition(text: str, begin: int) -> int:
    """Return where a condition ends: at the next AND, THEN, RETURNING or closing bracket."""
    depth = 0
    for at in range(begin, len(text)):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth < 0:
                return at
        elif depth == 0 and text[at:].startswith(
            (" AND ", " OR ", " THEN ", " RETURNING ", " ORDER ")
        ):
            return at
    return len(text)


def pairs() -> list[tuple[TaskState, TaskState]]:
    return [(state, other) for state in TaskState for other in TaskState if state is not other]


def move(desk: Desk, state: TaskState) -> None:
    """Put every task into a state as nobody should: by hand."""
    belongings = {part.split(" = ")[0]: part for part in NOTHING.split(", ")}
    for part in BELONGINGS[state].split(", "):
        belongings[part.split(" = ")[0]] = part
    desk.run_sql(f"UPDATE tasks SET state = '{state}', {', '.join(belongings.values())}")


def bring_to(desk: Desk, state: TaskState) -> None:
    """Put a task in and bring it to a state on a road that is allowed."""
    desk.put(new("a"))
    if state is TaskState.QUEUED:
        return
    if state in FOLLOWERS[TaskState.QUEUED]:
        move(desk, state)
        return
    move(desk, TaskState.RUNNING)
    move(desk, state)


@pytest.mark.parametrize(("state", "other"), pairs(), ids=str)
def test_no_hand_moves_a_task_where_it_may_not_go(
    desk: Desk, state: TaskState, other: TaskState
) -> None:
    bring_to(desk, state)

    if state.may_become(other):
        move(desk, other)
        assert desk.state("a") is other
    else:
        with pytest.raises(DBAPIError, match="no such step"):
            move(desk, other)
        assert desk.state("a") is state


@pytest.mark.parametrize(
    "change",
    ["result = '2'", "result = NULL", "error = '{}'", "state = 'failed'"],
)
def test_no_hand_changes_how_a_task_ended(desk: Desk, change: str) -> None:
    desk.complete(desk.begin("a"), result="1")

    with pytest.raises(DBAPIError, match="no such step"):
        desk.run_sql(f"UPDATE tasks SET {change}")

    assert desk.get("a").result == "1"


@pytest.mark.parametrize(
    "change",
    [
        # Running means leased, and the other way round.
        "lease_token = NULL",
        "worker_id = NULL",
        # Final means finished.
        "finished_at = 1",
        "state = 'completed', lease_token = NULL, worker_id = NULL",
        # Waiting means: for something.
        "upstream_id = 'x'",
        "state = 'waiting', lease_token = NULL, worker_id = NULL",
        "state = 'scheduled', lease_token = NULL, worker_id = NULL",
        "state = 'queued', lease_token = NULL, worker_id = NULL",
        "priority = 10",
        "state = 'lost'",
    ],
)
def test_no_hand_leaves_a_row_that_contradicts_itself(desk: Desk, change: str) -> None:
    desk.begin("a")

    with pytest.raises(DBAPIError):
        desk.run_sql(f"UPDATE tasks SET {change}")


def test_every_queued_task_reaches_a_worker_although_the_broker_forgot_it(desk: Desk) -> None:
    # I4: nobody ever rings for these; the janitor alone brings them to a worker.
    desk.put(*(new(f"t{number}") for number in range(30)), waiting("last", "t7"))
    desk.put(new("late", not_before=desk.soon(seconds=40)))

    while unfinished(desk):
        desk.later(seconds=10)
        desk.ledger.sweeps.promote()
        due = desk.ledger.sweeps.due_to_ring("default", limit=7, again=timedelta(seconds=30))
        for held in desk.claim(*(bell.task_id for bell in due)):
            desk.complete(held, continuations=(new("last"),) if held.id == "t7" else ())

    assert desk.run_sql("SELECT DISTINCT state FROM tasks") == [("completed",)]


def unfinished(desk: Desk) -> int:
    return int(desk.run_sql("SELECT count(*) FROM tasks WHERE finished_at IS NULL")[0][0])
