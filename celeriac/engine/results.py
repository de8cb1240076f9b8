"""A task's result as a client holds it: Celery's, with children that the ledger knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.result import AsyncResult, ResultSet

from celeriac.core.task import TaskId


class LedgerResult(AsyncResult):
    """Celery's result of one task."""

    @property
    def children(self) -> list[AsyncResult]:
        """What the task has sent so far, and what follows it in a canvas, in order."""
        # Read when somebody asks: no result is read with a second query that nobody needs.
        found = self.backend.children_of(TaskId(self.id))
        return [self.app.AsyncResult(each) for each in found]

    def _maybe_reraise_parent_error(self) -> None:
        """Raise what one of the tasks before this one failed with.

        Celery asks for each of them by itself, which makes ten thousand questions for the result
        of a chord of ten thousand.
        """
        tasks = [task for parent in reversed(list(self._parents())) for task in _tasks_of(parent)]
        unread = [task for task in tasks if task._cache is None]  # noqa: SLF001 - as Celery's own
        metas = self.backend.get_metas([TaskId(task.id) for task in unread])
        for task in unread:
            task._maybe_set_cache(metas[TaskId(task.id)])  # noqa: SLF001
        for task in tasks:
            # Only one that has ended can have failed.
            if task._cache is not None:  # noqa: SLF001
                task.maybe_throw()


def _tasks_of(result: Any) -> Iterator[Any]:
    """Yield the results of single tasks under a result."""
    if isinstance(result, ResultSet):
        for each in result.results:
            yield from _tasks_of(each)
    else:
        yield result
