from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, Attempt, Codec, Task, TaskError, TaskId
from celeriac.service.reports import TaskReport
from celeriac.service.waiting import WaitingBecause
from celeriac.web.dashboard.pages import (
    MOST_SHOWN,
    attempts_of,
    detail_of,
    kwargs_of,
    not_done,
    progress_of,
    row_of,
    story_of,
)
from celeriac.web.dashboard.texts import breakable, length, moment, readable, with_code
from celeriac.web.readable import to_plain
from tests.fakes import NOON, make_task

Json = Any
NOW = NOON + timedelta(seconds=90)


def report_of(because: WaitingBecause | None = None, **changes: Any) -> TaskReport:
    return TaskReport(task=make_task(**changes), waiting_because=because)


def ended(state: TaskState, **changes: Any) -> TaskReport:
    facts = {"started_at": NOON, "finished_at": NOON + timedelta(seconds=2), "attempt": 1}
    return report_of(state=state, **{**facts, **changes})


@pytest.mark.parametrize(
    ("report", "story"),
    [
        (report_of(), "A worker will take it in a moment."),
        (report_of(WaitingBecause.WORKERS_BUSY), "Every worker of its queue is busy."),
        (
            report_of(WaitingBecause.NO_WORKER_LISTENS, queue="reports"),
            "No worker serves the queue reports: "
            "`python run.py worker --queues reports` starts one.",
        ),
        (
            report_of(WaitingBecause.NO_WORKER_KNOWS_IT, name="proj.new", queue="reports"),
            "No worker of the queue reports knows proj.new: start one with the code that has it.",
        ),
        (report_of(WaitingBecause.QUEUE_PAUSED), "Its queue is paused."),
        (
            report_of(
                WaitingBecause.SCHEDULED,
                state=TaskState.SCHEDULED,
                not_before=NOW + timedelta(minutes=5),
            ),
            "Its time has not come. It starts in 5 min.",
        ),
        (
            report_of(WaitingBecause.UPSTREAM, state=TaskState.WAITING),
            "It waits for another task to complete.",
        ),
        (
            report_of(state=TaskState.RUNNING, attempt=2, worker="w@host"),
            "Attempt 2 runs on w@host.",
        ),
        (
            report_of(state=TaskState.RUNNING, attempt=1, cancel_requested_at=NOW),
            "It was asked to stop.",
        ),
        (ended(TaskState.COMPLETED), "Completed after 2.0 s."),
        (ended(TaskState.FAILED, attempt=3), "Failed in attempt 3 after 2.0 s."),
        (ended(TaskState.CANCELLED), "Cancelled after 2.0 s."),
        (ended(TaskState.CANCELLED, attempt=0, started_at=None), "Cancelled before it began."),
        (ended(TaskState.EXPIRED, attempt=0, started_at=None), "Expired before it began."),
    ],
)
def test_a_task_tells_its_story(report: TaskReport, story: str) -> None:
    assert story_of(report, now=NOW) == story


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        (timedelta(milliseconds=850), "850 ms"),
        (timedelta(seconds=9.94), "9.9 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=61), "1 min"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
        (timedelta(days=3), "3 d"),
        (timedelta(seconds=-5), "0 ms"),
    ],
)
def test_a_duration_is_told_by_its_largest_units(duration: timedelta, told: str) -> None:
    assert length(duration) == told


def test_a_moment_is_told_from_now_and_exactly() -> None:
    assert moment(NOON, now=NOW).ago == "1 min ago"
    assert moment(NOW, now=NOW).ago == "now"
    # As the script goes on to tell it
    assert moment(NOON, now=NOON + timedelta(seconds=4.2)).ago == "4 s ago"
    assert moment(NOON + timedelta(seconds=4.2), now=NOON).ago == "in 4 s"
    assert moment(NOW, now=NOON).ago == "in 1 min"
    assert moment(NOON, now=NOW).exact == "2026-11-22 12:00:00 UTC"


@pytest.mark.parametrize(
    ("text", "percent", "message"),
    [
        ('{"state": "PROGRESS", "meta": {"done": 1, "total": 3, "message": "x"}}', 33, "x"),
        ('{"state": "PROGRESS", "meta": {"done": 1, "total": null}}', None, ""),
        ('{"state": "PROGRESS", "meta": {"done": 9, "total": 3}}', 100, ""),
        ('{"state": "PROGRESS", "meta": {"done": 1, "total": 0}}', None, ""),
    ],
)
def test_progress_is_a_share_where_there_is_a_whole(
    text: str, percent: int | None, message: str
) -> None:
    told = progress_of(make_task(state=TaskState.RUNNING, progress=text))

    assert told is not None
    assert (told.percent, told.message) == (percent, message)


@pytest.mark.parametrize("text", [None, '"x"', "{}", '{"meta": 1}'])
def test_what_a_task_says_otherwise_is_no_progress(text: str | None) -> None:
    assert progress_of(make_task(state=TaskState.RUNNING, progress=text)) is None


def test_a_task_that_ended_has_no_progress() -> None:
    assert progress_of(make_task(state=TaskState.COMPLETED, progress='{"meta": {}}')) is None


def test_a_row_tells_what_went_wrong_in_one_line() -> None:
    error = TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="a\nb " + "x" * 200)

    note = row_of(ended(TaskState.FAILED, error=error), now=NOW).note

    assert note.startswith("ValueError: a b xxx")
    assert len(note) == 140


def test_an_error_without_a_class_is_told_by_its_kind() -> None:
    error = TaskError(kind=ErrorKind.WORKER_LOST)

    assert row_of(ended(TaskState.FAILED, error=error), now=NOW).note == "worker lost"


def test_a_row_tells_why_its_task_waits() -> None:
    assert row_of(report_of(WaitingBecause.WORKERS_BUSY), now=NOW).note.startswith("Every worker")


def test_attempts_are_counted_of_how_many() -> None:
    assert attempts_of(make_task(attempt=2, max_attempts=3)) == "2 of 3"
    assert attempts_of(make_task(attempt=2)) == "2"


@pytest.mark.parametrize(
    ("codec", "text", "kwargs"),
    [
        (Codec.JSON, '[[], {"a": 1}]', {"a": 1}),
        (Codec.JSON, '[[1], {"a": 1}]', None),
        (Codec.TYPED, '[[], {"a": 1}]', None),
    ],
)
def test_a_task_can_be_made_again_when_names_suffice(codec: Codec, text: str, kwargs: Json) -> None:
    task = make_task(arguments=Arguments(codec=codec, text=text))

    assert kwargs_of(task) == kwargs
    detail = detail_of(TaskReport(task=task, waiting_because=None), (), now=NOW)
    assert detail.is_repeatable is (kwargs is not None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"plain <text>"', "plain <text>"),
        ("[1, 2, 3]", "[1, 2, 3]"),
        ("{}", "{}"),
        ("null", "null"),
        ('{"a": {"b": 1}, "c": [1, 2]}', '{\n  "a": {"b": 1},\n  "c": [1, 2]\n}'),
    ],
)
def test_a_result_is_shown_for_people(text: str, shown: str) -> None:
    assert readable(to_plain(text, Codec.JSON)) == shown


def test_a_long_list_gets_a_line_for_each_of_its_items() -> None:
    shown = readable(list(range(1000, 1040)))

    assert shown.splitlines()[:2] == ["[", "  1000,"]
    assert shown.splitlines()[-1] == "]"


def test_a_large_result_is_cut() -> None:
    detail = detail_of(
        ended(TaskState.COMPLETED, result='"' + "x" * (MOST_SHOWN + 1) + '"'), (), now=NOW
    )

    assert detail.is_result_cut
    assert len(detail.result) == MOST_SHOWN


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"state": TaskState.QUEUED}, (True, False)),
        ({"state": TaskState.RUNNING, "cancel_requested_at": NOON}, (False, True)),
        ({"state": TaskState.CANCELLED, "cancel_requested_at": NOON}, (False, False)),
    ],
)
def test_a_task_is_cancelled_once(changes: Json, shown: tuple[bool, bool]) -> None:
    detail = detail_of(report_of(**changes), (), now=NOW)

    assert (detail.is_cancellable, detail.is_stopping) == shown


@pytest.mark.parametrize(
    ("act", "changes", "told"),
    [
        ("cancel", {"state": TaskState.QUEUED}, "Cancel does it now."),
        ("cancel", {"state": TaskState.COMPLETED}, "It has ended since."),
        # somebody else has done it, or it was asked for already
        ("cancel", {"state": TaskState.CANCELLED}, ""),
        ("cancel", {"state": TaskState.RUNNING, "cancel_requested_at": NOON}, ""),
        ("again", {"state": TaskState.FAILED}, "Run again does it now."),
        ("again", {"state": TaskState.QUEUED}, ""),
        ("instead", {"state": TaskState.QUEUED}, "another queue: you had been signed out."),
        ("instead", {"state": TaskState.RUNNING, "cancel_requested_at": NOON}, ""),
        ("<b>", {"state": TaskState.QUEUED}, ""),
    ],
)
def test_what_was_not_done_is_told_while_it_makes_sense(act: str, changes: Json, told: str) -> None:
    detail = detail_of(report_of(**changes), (), now=NOW)

    assert not_done(act, detail).endswith(told)
    assert bool(not_done(act, detail)) is bool(told)


def test_arguments_by_place_are_shown_too() -> None:
    def shown(text: str) -> str:
        task: Task = make_task(arguments=Arguments(codec=Codec.JSON, text=text))
        return detail_of(TaskReport(task=task, waiting_because=None), (), now=NOW).arguments

    assert shown("[[1, 2], {}]") == "[1, 2]"
    assert shown('[[1], {"a": 2}]') == '{\n  "args": [1],\n  "kwargs": {"a": 2}\n}'


def test_each_attempt_tells_how_it_ended() -> None:
    attempt = Attempt(
        task_id=TaskId("task-1"),
        number=1,
        worker="w",
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=3),
        ending="retried",
        error=TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="no"),
    )

    (shown,) = detail_of(report_of(), [attempt], now=NOW).attempts

    assert (shown.number, shown.ending, shown.took) == (1, "retried", "3.0 s")
    assert shown.failure is not None
    assert shown.failure.title == "ValueError"


def test_the_last_attempt_stands_first() -> None:
    def attempt(number: int) -> Attempt:
        return Attempt(
            task_id=TaskId("task-1"),
            number=number,
            worker="w",
            started_at=NOON,
            finished_at=NOON,
            ending="retried",
            error=None,
        )

    shown = detail_of(report_of(), [attempt(1), attempt(2)], now=NOW).attempts

    assert [each.number for each in shown] == [2, 1]


def test_a_name_goes_on_in_the_next_line_after_its_dots_and_is_never_markup() -> None:
    assert breakable("text.word_count") == "text.<wbr>word_<wbr>count"
    assert breakable("<b>.x.") == "&lt;b&gt;.<wbr>x."


def test_what_stands_between_backticks_is_code_and_never_markup() -> None:
    assert with_code("run `celeriac up <x>`") == "run <code>celeriac up &lt;x&gt;</code>"
