from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind, TaskState
from celeriac.ledger.endings import CALL_ERRBACKS, FIRE_CHORD
from tests.contract.ledger.desk import FAILURE, Desk, new, new_chord, states_of, waiting

SOON = timedelta(seconds=30)


def test_a_completion_wakes_what_waited_for_it(desk: Desk) -> None:
    desk.put(new("a"), waiting("b", "a"), waiting("c", "b"))

    exchange = desk.complete(
        desk.claim_one("a"), continuations=(new("b", headers='{"n":2}'), new("unplanned"))
    )

    assert {bell.task_id for bell in exchange.doorbells} == {"b", "unplanned"}
    assert (desk.state("b"), desk.get("b").headers) == (TaskState.QUEUED, '{"n":2}')
    assert desk.state("unplanned") is TaskState.QUEUED
    assert desk.state("c") is TaskState.WAITING


def test_a_continuation_with_a_delay_is_scheduled(desk: Desk) -> None:
    desk.put(new("a"), waiting("b", "a"))

    exchange = desk.complete(
        desk.claim_one("a"), continuations=(new("b", not_before=desk.soon(seconds=3)),)
    )

    assert (desk.state("b"), exchange.doorbells) == (TaskState.SCHEDULED, ())


def test_a_continuation_whose_task_is_under_way_or_over_is_left_alone(desk: Desk) -> None:
    desk.put(new("a"), new("queued"), waiting("cancelled", "a"))
    desk.ledger.tasks.request_cancel("cancelled")

    exchange = desk.complete(
        desk.claim_one("a"),
        continuations=(
            new("queued", name="sample.other"),
            new("cancelled"),
            waiting("queued", "a"),
        ),
    )

    assert exchange.doorbells == ()
    assert (desk.get("queued").name, desk.get("queued").version) == ("sample.add", 1)
    assert desk.state("cancelled") is TaskState.CANCELLED


def fail(desk: Desk) -> None:
    desk.fail(desk.claim_one("a"))


def cancel_waiting(desk: Desk) -> None:
    desk.ledger.tasks.request_cancel("a")


def expire(desk: Desk) -> None:
    desk.later(hours=2)
    desk.ledger.sweeps.expire()


def lose(desk: Desk) -> None:
    desk.end(desk.claim_one("a"), Ending.LOST)


def reap(desk: Desk) -> None:
    desk.claim_one("a")
    desk.ledger.sweeps.reap("w1", 1)


WAYS_TO_END = [fail, cancel_waiting, expire, lose, reap]


@pytest.mark.parametrize("end", WAYS_TO_END)
def test_all_that_waited_fails_with_what_it_waited_for(
    desk: Desk, end: Callable[[Desk], None]
) -> None:
    desk.put(new("a", max_crashes=1, expires_at=desk.soon(hours=1)))
    desk.put(waiting("b", "a"), waiting("c", "b"), waiting("d", "c"), waiting("e", "x"))

    end(desk)

    for name in "bcd":
        error = desk.get(name).error
        assert error is not None
        assert (desk.state(name), error.kind) == (TaskState.FAILED, ErrorKind.UPSTREAM)
        assert desk.ledger.tasks.attempts(name) == ()
    assert "a" in (desk.get("b").error or FAILURE).message
    assert desk.state("e") is TaskState.WAITING


def test_whoever_waits_down_a_canvas_gets_the_exception_that_began_it(desk: Desk) -> None:
    desk.put(new("a"), waiting("b", "a"), waiting("c", "b"))

    exchange = desk.fail(desk.claim_one("a"))

    assert states_of(exchange.ended) == {"a": "failed", "b": "failed", "c": "failed"}
    error = desk.get("c").error
    assert error is not None
    assert (error.kind, error.type) == (ErrorKind.UPSTREAM, "ValueError")
    assert error.message.endswith("no good")


def test_a_chord_fires_when_its_last_part_has_ended(desk: Desk) -> None:
    desk.put(
        new("p0", chord_id="c", group_index=0),
        new("p1", chord_id="c", group_index=1),
        waiting("body", "c"),
        chords=[new_chord("c", 2, queue="q")],
    )

    early = desk.complete(desk.claim_one("p1"))
    last = desk.fail(desk.claim_one("p0"))

    assert early.doorbells == ()
    (bell,) = last.doorbells
    assert (bell.task_id, bell.name, bell.queue) == ("c:fire", FIRE_CHORD, "q")
    fire = desk.get("c:fire")
    assert (fire.state, fire.arguments.text) == (TaskState.QUEUED, '[["c"],{}]')
    assert desk.state("body") is TaskState.WAITING


def test_a_chord_fires_once_though_its_parts_end_in_one_batch(desk: Desk) -> None:
    ids = [f"p{number}" for number in range(30)]
    desk.put(*(new(name, chord_id="c") for name in ids), chords=[new_chord("c", 30)])
    held = desk.claim(*ids)

    exchange = desk.exchange(*(desk.outcome(each, Ending.COMPLETED) for each in held))

    assert [bell.task_id for bell in exchange.doorbells] == ["c:fire"]


@pytest.mark.parametrize("end", WAYS_TO_END)
def test_a_part_counts_however_it_ends(desk: Desk, end: Callable[[Desk], None]) -> None:
    desk.put(
        new("a", chord_id="c", max_crashes=1, expires_at=desk.soon(hours=1)),
        chords=[new_chord("c", 1)],
    )

    end(desk)

    assert desk.state("c:fire") is TaskState.QUEUED


def test_a_part_that_runs_again_counts_once(desk: Desk) -> None:
    desk.put(new("a", chord_id="c"), chords=[new_chord("c", 1)])

    desk.end(desk.claim_one("a"), Ending.LOST)
    desk.end(desk.claim_one("a"), Ending.RETRIED, resend=new("a", retries=1))
    before = desk.ledger.tasks.find("c:fire")
    desk.complete(desk.claim_one("a"))

    assert before is None
    assert desk.state("c:fire") is TaskState.QUEUED


def test_a_part_that_was_replaced_counts_when_its_replacement_ends_it(desk: Desk) -> None:
    desk.put(new("a", chord_id="c"), chords=[new_chord("c", 1)])
    desk.end(
        desk.claim_one("a"),
        Ending.REPLACED,
        resend=waiting("a", "inner"),
        continuations=(new("inner"),),
    )

    # The continuation does not know of the chord; the row does.
    desk.complete(desk.claim_one("inner"), continuations=(new("a"),))
    before = desk.ledger.tasks.find("c:fire")
    desk.complete(desk.claim_one("a"))

    assert before is None
    assert desk.state("c:fire") is TaskState.QUEUED


def test_a_waiting_part_that_fails_with_its_upstream_counts_too(desk: Desk) -> None:
    desk.put(
        new("a"), waiting("p", "a", chord_id="c"), waiting("body", "c"), chords=[new_chord("c", 1)]
    )

    exchange = desk.fail(desk.claim_one("a"))

    assert [bell.task_id for bell in exchange.doorbells] == ["c:fire"]


def test_a_body_fails_when_what_should_call_it_does(desk: Desk) -> None:
    desk.put(new("p", chord_id="c"), waiting("body", "c"), chords=[new_chord("c", 1)])
    desk.complete(desk.claim_one("p"))

    exchange = desk.fail(desk.claim_one("c:fire"))

    assert states_of(exchange.ended) == {"c:fire": "failed", "body": "failed"}


def test_a_body_runs_when_the_chord_has_been_fired(desk: Desk) -> None:
    desk.put(new("p", chord_id="c"), waiting("body", "c"), chords=[new_chord("c", 1)])
    desk.complete(desk.claim_one("p"))

    exchange = desk.complete(desk.claim_one("c:fire"), continuations=(new("body"),))

    assert [bell.task_id for bell in exchange.doorbells] == ["body"]
    assert desk.ledger.sweeps.fail_orphans() == []


def test_a_chord_that_an_outcome_brings_counts_parts_of_the_same_batch(desk: Desk) -> None:
    maker, part = desk.begin("maker"), desk.begin("part", chord_id="c")

    exchange = desk.exchange(
        desk.outcome(part, Ending.COMPLETED),
        desk.outcome(maker, Ending.COMPLETED, chords=(new_chord("c", 1),)),
    )

    assert [bell.task_id for bell in exchange.doorbells] == ["c:fire"]


ERRBACKS = '{"errbacks":[{"task":"sample.oops"}]}'


def test_errbacks_that_nobody_could_call_are_sent_for(desk: Desk) -> None:
    desk.put(new("a", headers=ERRBACKS, queue="default", max_crashes=1))

    exchange = desk.end(desk.claim_one("a"), Ending.LOST)

    (bell,) = exchange.doorbells
    assert (bell.task_id, bell.name) == ("a:errbacks", CALL_ERRBACKS)
    assert desk.get("a:errbacks").arguments.text == '[["a"],{}]'


def test_a_killed_child_needs_its_errbacks_called(desk: Desk) -> None:
    held = desk.begin("a", headers=ERRBACKS)

    desk.fail(held, needs_errbacks=True)

    assert desk.state("a:errbacks") is TaskState.QUEUED


def test_errbacks_that_the_child_called_are_not_called_again(desk: Desk) -> None:
    desk.fail(desk.begin("a", headers=ERRBACKS))
    desk.end(desk.begin("b", headers='{"errbacks":[]}', max_crashes=1), Ending.LOST)
    desk.end(desk.begin("c", max_crashes=1), Ending.LOST)

    for name in "abc":
        assert desk.ledger.tasks.find(f"{name}:errbacks") is None


def test_errbacks_of_a_cancelled_task_are_not_called(desk: Desk) -> None:
    desk.put(new("a", headers=ERRBACKS))

    desk.ledger.tasks.request_cancel("a")

    assert desk.ledger.tasks.find("a:errbacks") is None


def test_what_a_cancellation_queues_is_found_by_the_janitor_at_once(desk: Desk) -> None:
    desk.put(new("a", chord_id="c"), chords=[new_chord("c", 1)])

    desk.ledger.tasks.request_cancel("a")

    (bell,) = desk.ledger.sweeps.due_to_ring("default", limit=9, again=SOON)
    assert bell.task_id == "c:fire"
