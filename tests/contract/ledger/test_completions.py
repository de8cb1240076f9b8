from __future__ import annotations

from datetime import timedelta

import pytest

from celeriac.core.outcome import Ended, Ending
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, Attempt, Codec, TaskError, TaskId
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import FAILURE, Desk, new, new_chord, waiting


def test_a_completion_is_recorded(desk: Desk) -> None:
    held = desk.begin("a")
    desk.later(seconds=2)

    exchange = desk.complete(held, result='{"n":1}', result_codec=Codec.TYPED)

    task = desk.get("a")
    assert (task.state, task.result, task.result_codec) == (
        TaskState.COMPLETED,
        '{"n":1}',
        Codec.TYPED,
    )
    assert (task.finished_at, task.version) == (desk.clock(), 3)
    assert exchange.ended == (
        Ended(task_id=TaskId("a"), state="completed", result='{"n":1}', result_codec=Codec.TYPED),
    )
    assert (exchange.lost, exchange.doorbells) == ((), ())


def test_a_failure_is_recorded_with_its_error(desk: Desk) -> None:
    error = TaskError(
        kind=ErrorKind.EXCEPTION,
        type="KeyError",
        module="builtins",
        message="a \0 in it, half of a pair \ud83d, and ünïcode",
        arguments='["x"]',
        traceback="Traceback …",
    )

    exchange = desk.fail(desk.begin("a"), error=error)

    kept = desk.get("a").error
    assert desk.state("a") is TaskState.FAILED
    assert kept is not None
    assert kept.message == "a \0 in it, half of a pair ?, and ünïcode"
    assert (kept.kind, kept.type, kept.module) == (ErrorKind.EXCEPTION, "KeyError", "builtins")
    assert (kept.arguments, kept.traceback) == ('["x"]', "Traceback …")
    assert [each.state for each in exchange.ended] == ["failed"]


def test_an_ignored_task_is_completed_without_a_result(desk: Desk) -> None:
    desk.complete(desk.begin("a"), result=None, is_ignored=True)

    assert (desk.get("a").result, desk.get("a").is_ignored) == (None, True)


def test_a_completion_of_a_lost_lease_writes_nothing_at_all(desk: Desk) -> None:
    desk.put(waiting("next", "a"))
    stale = desk.begin("a", chord_id="c")
    desk.put(chords=[new_chord("c", 1)])
    desk.ledger.sweeps.reap("w1", 1)
    other = desk.colleague("w2")
    fresh = other.claim_one("a")

    exchange = desk.complete(
        stale,
        result='"late"',
        continuations=(new("next"), new("brand-new")),
        chords=(new_chord("late", 1),),
    )

    assert (exchange.lost, exchange.ended, exchange.doorbells) == (("a",), (), ())
    assert (desk.state("a"), desk.get("a").attempt) == (TaskState.RUNNING, 2)
    assert desk.state("next") is TaskState.WAITING
    assert desk.ledger.tasks.find("brand-new") is None
    assert desk.ledger.tasks.find_chord("late") is None
    assert desk.ledger.tasks.find("c:fire") is None
    assert other.complete(fresh).lost == ()
    assert desk.get("a").result == "3"


def test_a_completion_with_a_token_of_another_task_is_lost(desk: Desk) -> None:
    first, second = desk.begin("a"), desk.begin("b")
    forged = desk.outcome(first, Ending.COMPLETED)

    exchange = desk.exchange(
        type(forged)(
            task_id=second.id,
            lease_token=first.lease_token,
            ending=Ending.COMPLETED,
            finished_at=desk.clock(),
        )
    )

    assert exchange.lost == ("b",)
    assert desk.state("b") is TaskState.RUNNING


def test_two_outcomes_of_one_lease_are_one_and_a_late_one(desk: Desk) -> None:
    held = desk.begin("a")

    exchange = desk.exchange(
        desk.outcome(held, Ending.COMPLETED, result="1"), desk.outcome(held, Ending.FAILED)
    )

    assert (desk.state("a"), desk.get("a").result) == (TaskState.COMPLETED, "1")
    assert exchange.lost == ("a",)


def test_a_completion_that_wins_against_a_request_to_stop_stays_completed(desk: Desk) -> None:
    held = desk.begin("a")
    desk.ledger.tasks.request_cancel("a")

    desk.complete(held)

    assert desk.state("a") is TaskState.COMPLETED


def test_a_stopped_task_is_cancelled(desk: Desk) -> None:
    held = desk.begin("a")
    desk.ledger.tasks.request_cancel("a")

    exchange = desk.end(held, Ending.CANCELLED)

    assert desk.state("a") is TaskState.CANCELLED
    assert [each.state for each in exchange.ended] == ["cancelled"]


def test_a_retried_task_waits_for_its_time(desk: Desk) -> None:
    held = desk.begin("a", submitted_by="ada")
    resend = new(
        "a",
        arguments=Arguments(codec=Codec.TYPED, text="[[2],{}]"),
        headers='{"again":1}',
        retries=1,
        not_before=desk.soon(seconds=9),
        priority=8,
        queue="other",
    )

    exchange = desk.end(held, Ending.RETRIED, resend=resend, error=FAILURE)

    task = desk.get("a")
    assert (task.state, task.not_before) == (TaskState.SCHEDULED, desk.soon(seconds=9))
    assert (task.arguments, task.headers, task.retries) == (resend.arguments, '{"again":1}', 1)
    assert (task.priority, task.queue, task.submitted_by) == (8, "other", "ada")
    assert (task.error, exchange.ended, exchange.doorbells) == (None, (), ())


def test_a_task_retried_at_once_is_rung(desk: Desk) -> None:
    held = desk.begin("a")

    exchange = desk.end(held, Ending.RETRIED, resend=new("a", retries=1, queue="other"))

    assert desk.state("a") is TaskState.QUEUED
    assert [(bell.task_id, bell.queue) for bell in exchange.doorbells] == [("a", "other")]


def test_a_replaced_task_waits_for_what_took_its_place(desk: Desk) -> None:
    held = desk.begin("a")
    resend = waiting("a", "last", name="sample.add")

    exchange = desk.end(
        held, Ending.REPLACED, resend=resend, continuations=(new("first"), waiting("last", "first"))
    )

    assert (desk.state("a"), desk.get("a").upstream_id) == (TaskState.WAITING, "last")
    assert [bell.task_id for bell in exchange.doorbells] == ["first"]
    assert exchange.ended == ()


def test_a_replaced_task_ends_as_the_continuation_of_what_took_its_place(desk: Desk) -> None:
    resend = waiting("a", "last")
    desk.end(desk.begin("a"), Ending.REPLACED, resend=resend, continuations=(new("last"),))

    exchange = desk.complete(desk.claim_one("last"), continuations=(new("a", name="sample.end"),))
    again = desk.claim_one("a")
    desk.complete(again, result='"end"')

    assert [bell.task_id for bell in exchange.doorbells] == ["a"]
    assert (again.attempt, again.name) == (2, "sample.end")
    assert (desk.state("a"), desk.get("a").result) == (TaskState.COMPLETED, '"end"')
    assert desk.endings("a") == ["replaced", "completed"]


@pytest.mark.parametrize(
    ("ending", "attempt", "endings"), [(Ending.RETURNED, 1, ["returned"]), (Ending.UNBEGUN, 0, [])]
)
def test_a_task_given_back_is_queued_again_and_not_charged(
    desk: Desk, ending: Ending, attempt: int, endings: list[str]
) -> None:
    held = desk.begin("a", at_most_once=True)

    exchange = desk.end(held, ending)

    assert (desk.state("a"), desk.get("a").crashes) == (TaskState.QUEUED, 0)
    assert (desk.get("a").attempt, desk.endings("a")) == (attempt, endings)
    assert [bell.task_id for bell in exchange.doorbells] == ["a"]


def test_a_task_whose_process_died_is_queued_again_and_charged(desk: Desk) -> None:
    held = desk.begin("a")

    exchange = desk.end(held, Ending.LOST)

    assert (desk.state("a"), desk.get("a").crashes) == (TaskState.QUEUED, 1)
    assert [bell.task_id for bell in exchange.doorbells] == ["a"]


def test_a_task_that_is_above_suspicion_is_not_charged_for_its_process(desk: Desk) -> None:
    desk.end(desk.begin("a", max_crashes=1), Ending.LOST, is_suspect=False)

    assert (desk.state("a"), desk.get("a").crashes) == (TaskState.QUEUED, 0)
    assert desk.endings("a") == ["lost"]


def test_a_task_whose_process_died_too_often_is_given_up(desk: Desk) -> None:
    desk.put(new("a", max_crashes=2))

    desk.end(desk.claim_one("a"), Ending.LOST)
    exchange = desk.end(desk.claim_one("a"), Ending.LOST)

    error = desk.get("a").error
    assert error is not None
    assert (desk.state("a"), error.kind) == (TaskState.FAILED, ErrorKind.WORKER_LOST)
    assert desk.get("a").crashes == 2
    assert [each.state for each in exchange.ended] == ["failed"]
    assert exchange.doorbells == ()


def test_an_at_most_once_task_whose_process_died_is_never_run_again(desk: Desk) -> None:
    desk.end(desk.begin("a", at_most_once=True), Ending.LOST)

    error = desk.get("a").error
    assert error is not None
    assert (desk.state("a"), error.kind) == (TaskState.FAILED, ErrorKind.INDETERMINATE)


@pytest.mark.parametrize(
    "ending", [Ending.LOST, Ending.RETURNED, Ending.UNBEGUN, Ending.RETRIED, Ending.REPLACED]
)
def test_a_task_that_was_asked_to_stop_does_not_go_on(desk: Desk, ending: Ending) -> None:
    held = desk.begin("a")
    desk.ledger.tasks.request_cancel("a")
    resend = waiting("a", "x") if ending is Ending.REPLACED else new("a", retries=1)

    exchange = desk.end(held, ending, resend=resend)

    # No worker could ever claim it: it would stay queued for ever.
    assert desk.state("a") is TaskState.CANCELLED
    assert [each.state for each in exchange.ended] == ["cancelled"]


def test_every_attempt_is_remembered(desk: Desk) -> None:
    desk.put(new("a"))
    started = desk.clock()
    for ending, facts in [
        (Ending.RETURNED, {}),
        (Ending.LOST, {}),
        (Ending.RETRIED, {"resend": new("a", retries=1), "error": FAILURE}),
        (Ending.FAILED, {"error": FAILURE}),
    ]:
        held = desk.claim_one("a")
        desk.later(seconds=1)
        desk.end(held, ending, **facts)  # type: ignore[arg-type]

    attempts = desk.ledger.tasks.attempts("a")

    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert [attempt.ending for attempt in attempts] == ["returned", "lost", "retried", "failed"]
    assert [attempt.error for attempt in attempts] == [None, None, FAILURE, FAILURE]
    assert attempts[0] == Attempt(
        task_id=TaskId("a"),
        number=1,
        worker="celery@w1",
        started_at=started,
        finished_at=started + timedelta(seconds=1),
        ending="returned",
    )


def test_a_task_that_ends_between_two_attempts_has_no_attempt_for_its_end(desk: Desk) -> None:
    desk.end(desk.begin("a"), Ending.RETRIED, resend=new("a", retries=1))

    desk.ledger.tasks.request_cancel("a")

    assert desk.endings("a") == ["retried"]


def test_progress_is_told_while_the_lease_is_held(desk: Desk, ledger: Ledger) -> None:
    held = desk.begin("a")

    ledger.tasks.set_progress(
        [
            (held.id, held.lease_token, '{"n":1}'),
            (held.id, "somebody else's", '{"n":7}'),
            (held.id, held.lease_token, '{"n":2}'),
        ]
    )

    assert (desk.get("a").progress, desk.get("a").version) == ('{"n":2}', 3)
    desk.complete(held)
    ledger.tasks.set_progress([(held.id, held.lease_token, '{"n":3}')])
    assert desk.get("a").progress == '{"n":2}'
    ledger.tasks.set_progress([])


def test_progress_that_cannot_be_kept_does_not_silence_the_others(
    desk: Desk, ledger: Ledger
) -> None:
    first, second = desk.begin("a"), desk.begin("b")

    ledger.tasks.set_progress(
        [
            (first.id, first.lease_token, "\ud800"),
            (second.id, second.lease_token, "{}"),
        ]
    )

    assert (desk.get("a").progress, desk.get("b").progress) == (None, "{}")
