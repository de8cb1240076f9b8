from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.task import Arguments, Codec, TaskId
from celeriac.errors import InvalidOptionError
from celeriac.service.submission import SubmitOptions, SubmitRequest, check_options, new_task
from tests.fakes import NOON

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"unique_for": timedelta(days=30)},
        {"queue": "high_priority"},
        {"queue": "team:eu-1.reports"},
        {"priority": 0},
        {"priority": 9},
        {"delay": timedelta(0)},
        {"delay": timedelta(days=3660)},
        # a moment that has passed is now
        {"not_before": NOON - HOUR},
        {"not_before": NOON + HOUR, "expires_at": NOON + 2 * HOUR},
        {"delay": HOUR, "expires_at": NOON + 2 * HOUR},
        {"expires_at": NOON + timedelta(microseconds=1)},
        {"max_attempts": 1},
        {"max_attempts": 1000},
        {"timeout": timedelta(milliseconds=1)},
        {"timeout": timedelta(days=7)},
        {"tags": tuple(str(number) for number in range(20))},
        {"tags": ("größer als", "🐙" * 64)},
    ],
)
def test_options_in_bounds_are_taken(options: dict[str, Any]) -> None:
    check_options(SubmitOptions(**options), now=NOON)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"unique_for": timedelta(0)}, "unique_for_seconds"),
        ({"unique_for": timedelta(days=31)}, "unique_for_seconds"),
        ({"queue": ""}, "queue"),
        ({"queue": "a b"}, "queue"),
        ({"queue": "q" * 101}, "queue"),
        ({"queue": "default\n"}, "queue"),
        ({"priority": -1}, "priority"),
        ({"priority": 10}, "priority"),
        ({"delay": -HOUR}, "delay_seconds"),
        ({"delay": timedelta(days=3661)}, "delay_seconds"),
        ({"delay": HOUR, "not_before": NOON + HOUR}, "not_before"),
        ({"not_before": NOON + timedelta(days=3661)}, "not_before"),
        ({"expires_at": NOON}, "expires_at"),
        ({"expires_at": NOON + timedelta(days=3661)}, "expires_at"),
        # it would expire before it could begin
        ({"expires_at": NOON + HOUR, "not_before": NOON + 2 * HOUR}, "expires_at"),
        ({"expires_at": NOON + HOUR, "delay": HOUR}, "expires_at"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"timeout": timedelta(0)}, "timeout_seconds"),
        ({"timeout": timedelta(days=8)}, "timeout_seconds"),
        ({"tags": ("",)}, "tag"),
        ({"tags": ("x" * 65,)}, "tag"),
        ({"tags": ("a\nb",)}, "tag"),
        ({"tags": ("a\0b",)}, "tag"),
        ({"tags": tuple(str(number) for number in range(21))}, "tag"),
    ],
)
def test_an_option_out_of_bounds_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        check_options(SubmitOptions(**options), now=NOON)

    assert caught.value.option == named


def test_a_request_becomes_a_task() -> None:
    options = SubmitOptions(
        priority=9, delay=HOUR, timeout=timedelta(seconds=1.5), max_attempts=3, tags=("a", "b")
    )
    arguments = Arguments(codec=Codec.JSON, text="[[],{}]")

    task = new_task(
        TaskId("task-1"),
        SubmitRequest(name="process", kwargs={}, options=options),
        arguments,
        queue="reports",
        submitted_by="ada",
        now=NOON,
    )

    assert (task.id, task.name, task.queue, task.submitted_by) == (
        "task-1",
        "process",
        "reports",
        "ada",
    )
    assert task.arguments is arguments
    assert task.priority == 9
    assert task.not_before == NOON + HOUR
    assert task.timeout_seconds == 1.5
    assert task.max_attempts == 3
    assert task.tags == ("a", "b")
    assert task.root_id == task.id


def test_a_moment_given_is_the_moment_kept() -> None:
    request = SubmitRequest(
        name="process", kwargs={}, options=replace(SubmitOptions(), not_before=NOON + HOUR)
    )

    task = new_task(
        TaskId("task-1"),
        request,
        Arguments(codec=Codec.JSON, text="[[],{}]"),
        queue="default",
        submitted_by="ada",
        now=NOON,
    )

    assert task.not_before == NOON + HOUR
