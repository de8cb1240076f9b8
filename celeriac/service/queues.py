"""The queues: how each stands, and pausing one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from celeriac.core.nearest import nearest
from celeriac.core.queue import Pause, Queue
from celeriac.core.user import Scope
from celeriac.errors import InvalidOptionError, QueueNotFoundError
from celeriac.queue_names import QUEUE_RULE, is_queue_name
from celeriac.service.callers import Caller

logger = logging.getLogger(__name__)


class QueueLedger(Protocol):
    """What is used of the ledger's queues."""

    def list(self) -> tuple[Queue, ...]:
        """Return every queue, by name."""
        ...

    def paused(self) -> dict[str, Pause]:
        """Return every queue that is paused."""
        ...

    def pause(self, name: str, *, by: str | None, reason: str = "") -> bool:
        """Have nothing more of a queue begun; False when that is so already."""
        ...

    def resume(self, name: str) -> bool:
        """Have tasks of a queue begun again; False when it was not paused."""
        ...


class AuditLedger(Protocol):
    """What is used of the ledger's audit trail."""

    def add(self, actor: str, action: str, subject: str, facts: dict[str, str]) -> None:
        """Remember an act."""
        ...


class HasQueues(Protocol):
    """A ledger, as far as queues are concerned."""

    @property
    def queues(self) -> QueueLedger:
        """Its queues."""
        ...

    @property
    def audit(self) -> AuditLedger:
        """Its audit trail."""
        ...


class QueueService:
    """Tells how the queues stand, pauses and resumes them."""

    def __init__(self, ledger: HasQueues) -> None:
        self._ledger = ledger

    def list_queues(self, *, by: Caller) -> tuple[Queue, ...]:
        """Return every queue that has a task, a worker or a pause, by name.

        Raises:
            NotPermittedError: The caller may not read.
        """
        by.require(Scope.READ)
        return self._ledger.queues.list()

    def meant_by(self, name: str, *, own: Iterable[str], by: Caller) -> tuple[str, ...]:
        """Return which queues may be meant by one that no worker serves, the most likely first.

        Empty when a worker serves it, when it is one of those that task functions name, and when
        nothing is like it.

        Args:
            name: What somebody called it.
            own: The queues that task functions name, whether or not a worker serves them.
            by: Who asks.

        Raises:
            NotPermittedError: The caller may not read.
        """
        known = {*self._served(by), *own}
        return () if name in known else nearest(name, sorted(known))

    def served_instead_of(self, name: str, *, own: str, by: Caller) -> str:
        """Return where a task may run that waits in a queue which no worker serves.

        That is the queue that was meant, else the one its function names; empty when no worker
        serves that either.

        Raises:
            NotPermittedError: The caller may not read.
        """
        served = self._served(by) - {name}
        meant = (*nearest(name, sorted(served)), own)
        return next((each for each in meant if each in served), "")

    def pause_queue(self, name: str, reason: str, *, by: Caller) -> Queue:
        """Have nothing more of a queue begun until it is resumed; what runs goes on.

        A queue may be paused before its first task. One that is paused already stays as it is.

        Raises:
            NotPermittedError: The caller may not operate.
            InvalidOptionError: No queue may be called so and none is, or the reason cannot be
                kept.
        """
        by.require(Scope.OPERATE)
        if not is_queue_name(name) and self._find(name) is None:
            raise InvalidOptionError("queue", QUEUE_RULE)
        if self._ledger.queues.pause(name, by=by.name, reason=reason):
            self._ledger.audit.add(by.name, "queue.pause", name, {"reason": reason})
            logger.info("a queue was paused", extra={"queue": name, "user": by.name})
        return self._get(name)

    def resume_queue(self, name: str, *, by: Caller) -> Queue:
        """Have tasks of a queue begun again; one that is not paused stays as it is.

        Raises:
            NotPermittedError: The caller may not operate.
            QueueNotFoundError: Nothing is known of such a queue.
        """
        by.require(Scope.OPERATE)
        if self._ledger.queues.resume(name):
            self._ledger.audit.add(by.name, "queue.resume", name, {})
            logger.info("a queue was resumed", extra={"queue": name, "user": by.name})
            return self._find(name) or Queue(
                name=name, queued=0, oldest_queued_at=None, running=0, workers=0, pause=None
            )
        return self._get(name)

    def _served(self, by: Caller) -> set[str]:
        return {each.name for each in self.list_queues(by=by) if each.workers}

    def _get(self, name: str) -> Queue:
        found = self._find(name)
        if found is None:
            raise QueueNotFoundError(name)
        return found

    def _find(self, name: str) -> Queue | None:
        return next((each for each in self._ledger.queues.list() if each.name == name), None)
