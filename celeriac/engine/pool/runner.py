"""What the pool's thread asks of a runner, and what a runner tells it."""

from __future__ import annotations

import selectors
from collections.abc import Iterable
from typing import Any, Protocol

from celeriac.core.outcome import Outcome
from celeriac.core.task import TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool.job import Job


class Events(Protocol):
    """What a runner tells the pool's thread, in that thread."""

    def began(self, job: Job, pid: int, slot: int) -> None:
        """A job truly runs now."""

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        """A job's attempt is over."""

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """A running job tells how far it is."""

    def returned(self, jobs: Iterable[Job]) -> None:
        """Jobs that were handed over and have not begun are to be handed over again."""

    def asked(self) -> None:
        """A running job asked something and was answered; it may ask again at once."""


class Runner(Protocol):
    """Runs claimed tasks. Every method is called in the pool's thread unless it says otherwise."""

    # The word for people: processes, solo.
    name: str

    @property
    def slots(self) -> int:
        """Tasks that can run at the same time, async ones apart."""

    @property
    def async_slots(self) -> int:
        """Async tasks that can run at the same time, beside the others."""

    def resize(self, slots: int) -> None:
        """Have another number of slots; callable from any thread.

        Raises:
            NotImplementedError: It always has the same number.
        """

    def start(self, events: Events, selector: selectors.BaseSelector) -> None:
        """Begin; readable files in the selector have a callable without arguments as their data."""

    def room(self) -> int:
        """Return how many more jobs it takes now, async ones apart."""

    def async_room(self, wanted: int) -> int:
        """Return how many more async jobs it takes now.

        Args:
            wanted: How many there are, so that it can make room that is not there yet.
        """

    def hand(self, jobs: Iterable[Job]) -> None:
        """Take jobs; never more than there is room for."""

    def interrupt(self, task_id: str) -> None:
        """Stop a running task, if it can be stopped and is here."""

    def tick(self, now: float) -> float | None:
        """Keep time limits; return the monotonic moment of the next one."""

    def give_back(self) -> list[Job]:
        """Return jobs that were handed over and have not begun, as far as they can be had back."""

    def kill(self) -> list[Job]:
        """Stop everything at once and return the jobs that were running."""

    def stop(self) -> None:
        """End the runner when nothing runs any more."""

    def facts(self) -> dict[str, Any]:
        """Return what `inspect stats` shows."""
