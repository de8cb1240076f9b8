"""Doorbells of tasks that this worker has no function for: they go on to a worker that has.

While a fleet is renewed, old workers take doorbells that only new ones can answer. Given back at
once, one would come again at once. So each is taken from the broker, and rung again, after a
moment, when some worker of its queue knows the task: by what the ledger says of it then, which is
also how what has ended, or was never there, is forgotten.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from celeriac.core.task import Doorbell, TaskId
from celeriac.core.worker import Worker
from celeriac.ledger.open import Ledger
from celeriac.telemetry import Counters

logger = logging.getLogger(__name__)

# How long a doorbell stays here before it is rung again, and so much longer for each that is here:
# a thousand a second at the most, however many come back, since who runs nothing is the first to
# take them again.
_PAUSE_SECONDS = 0.1
_PAUSE_SECONDS_EACH = 0.001
# When nobody knows its task: a worker that does takes longer to start.
_NOBODY_SECONDS = 2.0
# Looks are for all that is due by then.
_LOOK_SECONDS = 0.05
# More than these are left to the janitor, which rings for whatever stays queued.
_MOST = 5000
# Names may be made up: there is no end to them.
_MOST_NAMES = 100


class Strangers:
    """The tasks whose doorbells came here and that are not known here.

    `meet` is for any thread; everything else is the pool's thread's.
    """

    def __init__(
        self,
        counters: Counters,
        ring: Callable[[Sequence[Doorbell]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._ring = ring
        self._monotonic = monotonic
        self._inbox: deque[TaskId] = deque()
        self._warned: set[str] = set()
        # When each is seen to, by the monotonic clock. The one that came first is the first to be
        # left to the janitor.
        self._met: dict[TaskId, float] = {}
        self._looked_at = -math.inf
        self._due_at = math.inf

    def meet(self, task_id: TaskId, name: str) -> None:
        """Take a task whose doorbell came here and that has no function here."""
        self._counters.add("doorbells_unknown")
        if name not in self._warned and len(self._warned) < _MOST_NAMES:
            self._warned.add(name)
            # The name stands in the sentence: Celery's log shows nothing else.
            logger.warning(
                "this worker has no function for tasks named %s; they wait for one that has",
                name,
                extra={"task_id": task_id},
            )
        self._inbox.append(task_id)

    @property
    def due_at(self) -> float:
        """When to look, by the monotonic clock."""
        return -math.inf if self._inbox else self._due_at

    def look(self, ledger: Ledger) -> None:
        """Ring again for what somebody knows, and forget what is not queued any more.

        Raises:
            LedgerUnavailableError: The ledger did not answer; nothing has changed.
        """
        now = self._monotonic()
        self._take_in(now)
        if now < self._due_at:
            return
        due = [task_id for task_id, look_at in self._met.items() if look_at <= now]
        queued = {bell.task_id: bell for bell in ledger.tasks.queued_doorbells(due)}
        workers = ledger.leases.workers() if queued else ()
        kinds = {(bell.queue, bell.name) for bell in queued.values()}
        known = {kind for kind in kinds if _is_known(*kind, workers)}
        rung: list[Doorbell] = []
        for task_id in due:
            bell = queued.get(task_id)
            if bell is not None and (bell.queue, bell.name) not in known:
                self._met[task_id] = now + _NOBODY_SECONDS
                continue
            del self._met[task_id]
            if bell is not None:
                rung.append(bell)
        self._looked_at = now
        self._due_at = math.inf
        for look_at in self._met.values():
            self._note(look_at)
        self._ring(rung)

    def leave(self, ledger: Ledger) -> None:
        """Ring for all that is still queued: who comes in this worker's place may know it.

        Raises:
            LedgerUnavailableError: The ledger did not answer.
        """
        self._take_in(self._monotonic())
        self._ring(ledger.tasks.queued_doorbells(list(self._met)))
        self._met.clear()

    def _take_in(self, now: float) -> None:
        while self._inbox:
            task_id = self._inbox.popleft()
            if task_id in self._met:
                continue
            if len(self._met) >= _MOST:
                del self._met[next(iter(self._met))]
            look_at = now + _PAUSE_SECONDS + _PAUSE_SECONDS_EACH * len(self._met)
            self._met[task_id] = look_at
            self._note(look_at)

    def _note(self, look_at: float) -> None:
        self._due_at = min(self._due_at, max(look_at, self._looked_at + _LOOK_SECONDS))


def _is_known(queue: str, name: str, workers: Sequence[Worker]) -> bool:
    return any(queue in each.queues and each.knows(name) for each in workers)
