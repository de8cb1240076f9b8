"""What Celery is told of a task's way through the pool: acknowledgements, state and events.

What one turn of the pool's thread has to tell is told in the main thread in one go.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from celery import states
from celery.worker import state as worker_state

from celeriac.core.moments import utc_now
from celeriac.core.outcome import Ending, Outcome
from celeriac.engine.executor import Report
from celeriac.engine.request import DoorbellRequest
from celeriac.engine.transport.message import ParkedMessage, acknowledge_all

logger = logging.getLogger(__name__)

Post = Callable[..., None]


class Told:
    """Gathers what there is to tell Celery, and has it told in Celery's own thread."""

    def __init__(self, post: Post, now: Callable[[], datetime] = utc_now) -> None:
        self._post = post
        self._notes: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.now = now

    def refused(self, request: Any) -> None:
        """The task is not to be run here: ended, cancelled, or another worker's."""
        self._notes.append((_drop, (request,)))

    def duplicate(self, request: Any, known: Any) -> None:
        """A second doorbell for a task that this worker has already."""
        self._notes.append((_drop_duplicate, (request, known)))

    def returned(self, request: Any) -> None:
        """The doorbell shall go to another worker: this one cannot run its task soon."""
        self._notes.append((_return, (request,)))

    def accepted(self, request: Any, pid: int, at_monotonic: float) -> None:
        """The task truly runs: only now does its doorbell leave the prefetch window.

        Acknowledged with the claim, it would make room for another one at once, and one worker
        would lease a whole queue.
        """
        self._notes.append((_accept, (request, pid, at_monotonic)))

    def ended(self, request: Any, outcome: Outcome, report: Report) -> None:
        """The task's end is written, or was refused."""
        self._notes.append((_announce, (request, outcome, report)))

    def flush(self) -> None:
        """Have everything told that was gathered, in its order."""
        notes = self._notes
        if notes:
            # The solo runner adds to it in the main thread meanwhile.
            self._post(_tell, [notes.popleft() for _ in range(len(notes))])


def _tell(notes: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    acknowledge_all(_unacknowledged(notes))
    # Begun and ended since the last flush, as short tasks are: never seen to be active.
    over = {id(args[0]) for call, args in notes if call is _announce}
    for call, args in notes:
        try:
            if call is _accept and id(args[0]) in over and isinstance(args[0], DoorbellRequest):
                args[0].count()
            else:
                call(*args)
        except Exception:
            # An exception in a ready callback ends a Celery worker; and the next note is another
            # task's.
            logger.exception("Celery was not told of a task")


def _unacknowledged(
    notes: Sequence[tuple[Callable[..., None], tuple[Any, ...]]],
) -> Iterator[ParkedMessage]:
    """Yield the doorbells that are done with, of those that go to the broker together."""
    for call, args in notes:
        request = args[0]
        if call is _return or request.acknowledged or not isinstance(request, DoorbellRequest):
            continue
        if isinstance(request.message, ParkedMessage):
            request.acknowledged = True
            yield request.message


def acknowledge(request: Any) -> None:
    """Tell the broker that a doorbell has done its work."""
    if not request.acknowledged:
        request.acknowledge()


def _accept(request: Any, pid: int, at_monotonic: float) -> None:
    acknowledge(request)
    request.on_accepted(pid, at_monotonic)


def _drop(request: Any) -> None:
    acknowledge(request)
    _forget(request)
    if request.id in worker_state.revoked:
        # The ledger was told first; whoever listens to Celery hears of it here.
        request.revoked()


def _return(request: Any) -> None:
    # First: a broker that is away gives the doorbell back with all others, and Celery forgets
    # the request in any case.
    worker_state.task_ready(request)
    if not request.acknowledged:
        # Not by `request.reject`, whose event says that the task was refused.
        request.acknowledged = True
        request.message.requeue()


def _forget(request: Any) -> None:
    if isinstance(request, DoorbellRequest):
        request.forget()
    else:
        # Never "successful": Celery remembers these to skip what was delivered twice, which no
        # claim allows.
        worker_state.task_ready(request)


def _drop_duplicate(request: Any, known: Any) -> None:
    acknowledge(request)
    # Celery filed the second doorbell's request under the id of the task that runs, and would
    # lose sight of that one.
    worker_state.reserved_requests.discard(request)
    worker_state.requests[known.id] = known


def _announce(request: Any, outcome: Outcome, report: Report) -> None:
    acknowledge(request)
    _forget(request)
    if report.state == states.SUCCESS:
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
