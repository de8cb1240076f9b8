"""What Celery is told of a task's way through the pool: acknowledgements, state and events.

Everything here posts to the main thread; nothing waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.engine.executor import Report

logger = logging.getLogger(__name__)

Post = Callable[..., None]


class Told:
    """Tells Celery, in its own thread."""

    def __init__(self, post: Post, now: Callable[[], datetime] | None = None) -> None:
        self._post = post
        self.now = now or (lambda: datetime.now(UTC))

    def refused(self, request: Any) -> None:
        """The task is not to be run here: ended, cancelled, or another worker's."""
        self._post(_drop, request)

    def duplicate(self, request: Any, known: Any) -> None:
        """A second doorbell for a task that this worker has already."""
        self._post(_drop_duplicate, request, known)

    def accepted(self, request: Any, pid: int, at_monotonic: float) -> None:
        """The task truly runs: only now does its doorbell leave the prefetch window.

        Acknowledged with the claim, it would make room for another one at once, and one worker
        would lease a whole queue.
        """
        self._post(_accept, request, pid, at_monotonic)

    def ended(self, request: Any, outcome: Outcome, report: Report) -> None:
        """The task's end is written, or was refused."""
        self._post(_announce, request, outcome, report)


def acknowledge(request: Any) -> None:
    """Tell the broker that a doorbell has done its work."""
    if not request.acknowledged:
        request.acknowledge()


def _accept(request: Any, pid: int, at_monotonic: float) -> None:
    acknowledge(request)
    request.on_accepted(pid, at_monotonic)


def _drop(request: Any) -> None:
    acknowledge(request)
    worker_state.task_ready(request)


def _drop_duplicate(request: Any, known: Any) -> None:
    acknowledge(request)
    # Celery filed the second doorbell's request under the id of the task that runs, and would
    # lose sight of that one.
    worker_state.reserved_requests.discard(request)
    worker_state.requests[known.id] = known


def _announce(request: Any, outcome: Outcome, report: Report) -> None:
    acknowledge(request)
    is_success = report.state == states.SUCCESS
    worker_state.task_ready(request, successful=is_success)
    if is_success:
        request.send_event("task-succeeded", result=report.shown, runtime=report.runtime_seconds)
    elif outcome.ending is Ending.FAILED:
        request.send_event("task-failed", exception=report.shown, traceback=report.traceback)
    elif report.state == states.RETRY:
        request.send_event("task-retried", exception=report.shown, traceback=report.traceback)
    elif outcome.ending is Ending.CANCELLED and not request.revoked():
        request.send_event("task-revoked", terminated=True, signum=None, expired=False)
    elif outcome.ending is Ending.COMPLETED:
        # Ignored: Celery has no event for it; Flower would show it running for ever.
        request.send_event("task-succeeded", result="", runtime=report.runtime_seconds)
