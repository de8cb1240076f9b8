"""The history checker finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from celeriac.core.state import TaskState
from celeriac.core.task import Arguments, Codec, Task, TaskId
from tests.faults.history import History

QUEUED = Task(
    id=TaskId("a"),
    name="mark",
    arguments=Arguments(codec=Codec.JSON, text="[[],{}]"),
    queue="default",
    priority=5,
    headers="{}",
    state=TaskState.QUEUED,
    version=1,
    attempt=0,
    max_attempts=None,
    retries=0,
    crashes=0,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
RUNNING = replace(QUEUED, state=TaskState.RUNNING, version=2, attempt=1)
LOST = replace(QUEUED, version=3, attempt=1)
COMPLETED = replace(RUNNING, state=TaskState.COMPLETED, version=5, attempt=2)


def test_history_of_a_task_that_was_lost_once_is_clean() -> None:
    history = History()

    for task in (QUEUED, QUEUED, RUNNING, LOST, COMPLETED, COMPLETED):
        history.add([task])

    assert history.problems() == []


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        # A read that is older than the one before.
        ([RUNNING, QUEUED], "a: version 2 became 1"),
        # Two truths at a time.
        ([RUNNING, replace(RUNNING, worker="other")], "a: version 2 was told in two ways"),
        # Run again after it had ended.
        (
            [COMPLETED, replace(RUNNING, version=6, attempt=3)],
            "a: completed was final and changed",
        ),
        # Another result than the one that was told.
        ([COMPLETED, replace(COMPLETED, result="2", version=6)], "a: completed was final"),
        # A step that no task may take.
        ([QUEUED, replace(COMPLETED, version=2)], "a: queued became completed in one step"),
        # An attempt that nobody remembers.
        ([LOST, replace(LOST, version=4, attempt=0)], "a: attempt 1 became 0"),
    ],
)
def test_history_that_cannot_be_true_is_found(seen: list[Task], problem: str) -> None:
    history = History()

    for task in seen:
        history.add([task])

    assert any(text.startswith(problem) for text in history.problems())
