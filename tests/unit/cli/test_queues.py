from __future__ import annotations

from collections.abc import Sequence

import pytest

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
    queues = [make_queue("default", workers=1), make_queue("defualt", queued=1)]

    assert unserved_lines("default", lambda: queues) == ()
    assert unserved_lines("defualt", lambda: queues) == (
        "no worker serves the queue defualt; did you mean default?",
    )


def test_a_submission_is_none_the_worse_when_the_queues_cannot_be_read() -> None:
    def refuse() -> Sequence[Queue]:
        raise NotPermittedError("read")

    assert unserved_lines("defualt", refuse) == ()
