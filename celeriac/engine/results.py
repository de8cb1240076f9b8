"""A task's result as a client holds it: Celery's, with children that the ledger knows."""

from __future__ import annotations

from celery.result import AsyncResult

from celeriac.core.task import TaskId


class LedgerResult(AsyncResult):
    """Celery's result of one task."""

    @property
    def children(self) -> list[AsyncResult]:
        """What the task has sent so far, and what follows it in a canvas, in order."""
        # Read when somebody asks: no result is read with a second query that nobody needs.
        found = self.backend.children_of(TaskId(self.id))
        return [self.app.AsyncResult(each) for each in found]
