"""What readers saw of tasks while something went wrong, and whether it can be true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from celeriac.core.state import TaskState
from celeriac.core.task import Task, TaskId
from tests.meanwhile import meanwhile


class History:
    """Tasks as they were read, one after the other."""

    def __init__(self) -> None:
        self._seen: dict[TaskId, list[Task]] = defaultdict(list)

    def add(self, tasks: Iterable[Task]) -> None:
        """Take what one read returned."""
        for task in tasks:
            seen = self._seen[task.id]
            if not seen or seen[-1] != task:
                seen.append(task)

    def __len__(self) -> int:
        return sum(map(len, self._seen.values()))

    def problems(self) -> list[str]:
        """Return a sentence for every step that no true record could take."""
        found = []
        for seen in self._seen.values():
            for before, after in pairwise(seen):
                found += [f"{after.id}: {text}" for text in _step_problems(before, after)]
        return found


def _step_problems(before: Task, after: Task) -> list[str]:
    # Called for two reads that differ.
    found = []
    if after.version < before.version:
        found.append(f"version {before.version} became {after.version}")
    if after.version == before.version:
        found.append(f"version {after.version} was told in two ways")
    if before.state.is_final:
        found.append(f"{before.state} was final and changed")
    elif after.version == before.version + 1 and not _is_step(before.state, after.state):
        # Over more than one change nearly every state may follow: a task can be run again.
        found.append(f"{before.state} became {after.state} in one step")
    # A worker may give back what it claimed and never began: that was no attempt.
    unbegun = 1 if before.state is TaskState.RUNNING else 0
    if after.attempt < before.attempt - unbegun:
        found.append(f"attempt {before.attempt} became {after.attempt}")
    return found


def _is_step(before: TaskState, after: TaskState) -> bool:
    return after is before or before.may_become(after)


@contextmanager
def reading(read: Callable[[], Iterable[Task]]) -> Iterator[History]:
    """Read tasks all the time, as an impatient caller does, for as long as the block lasts."""
    history = History()
    with meanwhile(lambda: history.add(read()), pause_seconds=0.05):
        yield history
