"""Telling those who wait where there is no broker: in one process with everything, in a child."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from celeriac.core.outcome import Ended
from celeriac.core.task import TaskId
from celeriac.engine.notice import LONGEST_PAUSE_SECONDS, Notice, Pause


class NoticesHere:
    """The bell of a process that has everything in it: whoever waits is woken where it waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[TaskId, list[threading.Event]] = {}

    def tell(self, ended: Sequence[Ended]) -> bool:
        """Wake those who wait for tasks that have ended."""
        with self._lock:
            for each in ended:
                for bell in self._waiting.get(each.task_id, ()):
                    bell.set()
        return True

    def miss(self, since: datetime) -> None:
        """Take no note: whoever waits here looks into the ledger."""

    def take_missed(self) -> None:
        """Have missed nothing."""

    def show(self, progress: Sequence[tuple[TaskId, str]]) -> None:
        """Show nobody: there are no plain clients."""

    @contextmanager
    def listening(self, *task_ids: TaskId) -> Iterator[Notice]:
        """Give something to wait at for the end of a task, or of any of several."""
        bell = threading.Event()
        with self._lock:
            for task_id in task_ids:
                self._waiting.setdefault(task_id, []).append(bell)
        try:
            yield _Bell(bell)
        finally:
            with self._lock:
                for task_id in task_ids:
                    bells = self._waiting[task_id]
                    bells.remove(bell)
                    if not bells:
                        del self._waiting[task_id]

    def close(self) -> None:
        """Have nothing to close."""


class _Bell:
    """Waiting at an event; whoever waits looks into the ledger now and then all the same."""

    def __init__(self, bell: threading.Event) -> None:
        self._bell = bell

    def wait(self, longest: float | None) -> None:
        """Return when the task has ended, or after a quarter of a second at the most."""
        pause = LONGEST_PAUSE_SECONDS
        self._bell.wait(pause if longest is None else min(pause, longest))
        # It may ring again, for another one of those.
        self._bell.clear()


class NoNotices:
    """The bell of a process that has no broker: a child asks its parent, again and again."""

    def tell(self, ended: Sequence[Ended]) -> bool:
        """Tell nobody."""
        return True

    def miss(self, since: datetime) -> None:
        """Take no note: nobody waits here."""

    def take_missed(self) -> None:
        """Have missed nothing."""

    def show(self, progress: Sequence[tuple[TaskId, str]]) -> None:
        """Show nobody: there are no plain clients."""

    @contextmanager
    def listening(self, *task_ids: TaskId) -> Iterator[Notice]:
        """Give pauses to wait with."""
        yield Pause()

    def close(self) -> None:
        """Have nothing to close."""
