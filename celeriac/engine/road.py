"""How code that runs beside a task reaches the ledger.

A client, the HTTP service and the solo runner reach it themselves; a child process has no
database and no broker, and asks its parent over a pipe. Everything above this knows only `Road`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from celeriac.core.outcome import Ended, NewChord
from celeriac.core.task import Doorbell, NewTask, Task, TaskId
from celeriac.errors import TaskAlreadyFinalError, TaskNotFoundError

if TYPE_CHECKING:
    # Imported by whoever opens it: a third of what an app imports, and Flower never does.
    from celeriac.ledger.open import Ledger


class Road(Protocol):
    """What a task, or whoever submits one, may ask of the ledger."""

    def submit(self, tasks: Sequence[NewTask], chords: Sequence[NewChord] = ()) -> None:
        """Commit tasks, then ring for those that are ready."""

    def find(self, task_ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those tasks that exist."""

    def find_chord(self, chord_id: str) -> NewChord | None:
        """Return a chord as it was made."""

    def children_of(self, task_id: TaskId) -> Sequence[TaskId]:
        """Return the ids of what a task has sent and what follows it."""

    def report(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Tell how far a running task is."""

    def mark(self, task_id: TaskId, progress: str) -> None:
        """Tell something of a task that somebody else runs, or nobody yet."""

    def cancel(self, task_ids: Sequence[TaskId]) -> None:
        """Cancel those tasks that have not ended; the others stay as they are."""


class LedgerRoad:
    """The road of a process that has the ledger and the broker itself."""

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        ring: Callable[[Sequence[Doorbell]], None],
        tell: Callable[[Sequence[Ended]], None],
        show: Callable[[Sequence[tuple[TaskId, str]]], None] = lambda progress: None,
    ) -> None:
        self._ledger = ledger
        self._ring = ring
        self._tell = tell
        self._show = show

    def submit(self, tasks: Sequence[NewTask], chords: Sequence[NewChord] = ()) -> None:
        """Commit tasks, then ring for those that are ready."""
        # Workers see the rows before a doorbell rings: one may answer it before `ring` returns,
        # and its claim would find no row. It may begin while the disk takes them.
        self._ledger().tasks.insert(
            tasks,
            chords=chords,
            seen=lambda bells: self._ring([bell for bell in bells if bell is not None]),
        )

    def find(self, task_ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those tasks that exist."""
        return self._ledger().tasks.find_many(task_ids)

    def find_chord(self, chord_id: str) -> NewChord | None:
        """Return a chord as it was made."""
        return self._ledger().tasks.find_chord(chord_id)

    def children_of(self, task_id: TaskId) -> Sequence[TaskId]:
        """Return the ids of what a task has sent and what follows it."""
        return self._ledger().tasks.children_of(task_id)

    def report(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Tell how far a running task is."""
        self._ledger().tasks.set_progress([(task_id, lease_token, progress)])
        self._show([(task_id, progress)])

    def mark(self, task_id: TaskId, progress: str) -> None:
        """Tell something of a task that somebody else runs, or nobody yet."""
        self._ledger().tasks.mark(task_id, progress)

    def cancel(self, task_ids: Sequence[TaskId]) -> None:
        """Cancel those tasks that have not ended; the others stay as they are."""
        cancel_all(self._ledger(), task_ids, self._tell)


def cancel_all(
    ledger: Ledger, task_ids: Sequence[TaskId], tell: Callable[[Sequence[Ended]], None]
) -> None:
    """Cancel those tasks that have not ended, and tell of all that ended because of it."""
    for task_id in task_ids:
        try:
            ledger.tasks.request_cancel(task_id, tell=tell)
        except (TaskAlreadyFinalError, TaskNotFoundError):
            # Celery's revoke is told of many ids at once and asks for no answer.
            continue
