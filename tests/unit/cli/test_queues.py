from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from celeriac.cli import submit
from celeriac.cli.queues import paused_line
from celeriac.cli.submit import unserved_lines
from celeriac.core.queue import Queue
from celeriac.errors import NotPermittedError


def make_queue(name: str, *, queued: int = 0, running: int = 0, workers: int = 0) -> Queue:
    return Queue(
        name=name,
        queued=queued,
        oldest_queued_at=None,
        running=running,
        workers=workers,
        pause=None,
    )


@pytest.mark.parametrize(
    ("queue", "line"),
    [
        (make_queue("default", queued=3, workers=1), "paused default: 3 wait, 0 still run"),
        # Nobody serves it yet, and still something waits in it.
        (make_queue("reports", queued=1), "paused reports: 1 wait, 0 still run"),
        (
            make_queue("defualt"),
            "paused defualt: 0 wait, 0 still run; no worker serves it; did you mean default?",
        ),
        (make_queue("mail"), "paused mail: 0 wait, 0 still run; no worker serves it"),
    ],
)
def test_a_queue_that_nobody_uses_is_told_with_the_one_that_was_meant(
    queue: Queue, line: str
) -> None:
    assert paused_line(queue, [make_queue("default", workers=1), queue]) == line


def test_who_submits_to_a_queue_that_no_worker_serves_is_told_which_was_meant() -> None:
    queues = [make_queue("default", workers=1), make_queue("reports", workers=1)]

    assert unserved_lines("default", lambda: queues, task_id="t1") == ()
    assert unserved_lines("reprots", lambda: queues, task_id="t1") == (
        "no worker serves the queue reprots; did you mean reports?",
        "  undo it   celeriac tasks cancel t1; then submit it with --queue reports",
        "  serve it  celeriac worker --queues reprots",
    )


def test_a_queue_like_no_other_is_told_with_the_command_that_serves_it() -> None:
    queues = [make_queue("default", workers=1), make_queue("mail", queued=1)]

    assert unserved_lines("mail", lambda: queues, task_id="t1") == (
        "no worker serves the queue mail",
        "  serve it  celeriac worker --queues mail",
        "  undo it   celeriac tasks cancel t1; then submit it with --queue default",
    )
    # There is no other one to run it in.
    assert unserved_lines("default", list, task_id="t1") == (
        "no worker serves the queue default",
        "  serve it  celeriac worker --queues default",
    )


def test_a_worker_that_is_starting_is_given_a_moment() -> None:
    queues: list[Queue] = []

    def pause() -> None:
        queues.append(make_queue("default", workers=1))

    assert unserved_lines("default", lambda: queues, task_id="t1", pause=pause) == ()


@pytest.mark.parametrize(
    ("named", "is_terminal", "is_warned"),
    [("mail", False, True), (None, True, True), (None, False, False)],
)
def test_a_person_is_warned_of_the_tasks_own_queue_too(
    monkeypatch: pytest.MonkeyPatch, named: str | None, *, is_terminal: bool, is_warned: bool
) -> None:
    monkeypatch.setattr(submit, "_WORKER_STARTS_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    accepted = SimpleNamespace(id="t1", accepted=SimpleNamespace(queue="mail"))

    told = submit._warning(accepted, named, list)  # type: ignore[arg-type] # all that is used

    assert bool(told) == is_warned


def test_a_submission_is_none_the_worse_when_the_queues_cannot_be_read() -> None:
    def refuse() -> Sequence[Queue]:
        raise NotPermittedError("read")

    assert unserved_lines("defualt", refuse, task_id="t1") == ()
