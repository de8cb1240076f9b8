"""A worker, as the ledger knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from celeriac.core.task_type import is_internal


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorker:
    """What a worker tells of itself when it joins."""

    # Random, one for each start of a worker: a restarted worker is another one.
    id: str
    # Celery's node name, for people: celery@host.
    name: str
    queues: tuple[str, ...]
    # The machine it runs on and how to see whether its process still lives there.
    machine: str
    pid: int
    # When that process began, in the machine's own ticks; empty where it cannot be told.
    process_started: str
    pool: str
    slots: int
    # Differs when the modules with its tasks do; empty when nobody can tell.
    code_version: str = ""
    # The task names it has a function for, internal ones left out; None when nobody can tell, as
    # of a worker of an older version.
    task_names: frozenset[str] | None = None

    def knows(self, name: str) -> bool:
        """Return whether it can run tasks of a name, for all that is known of it."""
        return self.task_names is None or name in self.task_names or is_internal(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker(NewWorker):
    """A worker that has joined and has not left."""

    # Rises with every heartbeat; whoever watches it stand still may doubt the worker.
    sequence: int
    started_at: datetime
    # By the worker's own wall clock: to be shown, never to be decided by.
    heartbeat_at: datetime
