"""How much a worker claims and has fetched: enough for its slots, never a queue of its own."""

from __future__ import annotations

from celeriac.engine.pool.job import Job
from celeriac.engine.pool.pacer import Pacer
from celeriac.engine.pool.runner import Runner

# Doorbells that are fetched ahead when the first async task shows that there are such.
_FIRST_ASYNC = 10
_ASYNC_GROWTH = 4
# Of all async slots, as many are fetched ahead when every one is taken.
_ASYNC_AHEAD = 0.1


class Appetite:
    """Counts what a worker holds, plain and async tasks apart, and says what more it takes.

    A plain task keeps a slot to itself, so that only a few are claimed ahead. Async tasks share
    theirs and begin when they are claimed.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._pacer = Pacer()
        self.plain = 0
        self.interleaved = 0

    def took(self, job: Job) -> None:
        """Take note of a job that was claimed."""
        if job.is_async:
            self.interleaved += 1
        else:
            self.plain += 1

    def gave(self, job: Job) -> None:
        """Take note of a job that is held no more."""
        if job.is_async:
            self.interleaved -= 1
        else:
            self.plain -= 1

    def saw(self, job: Job, runtime_seconds: float) -> None:
        """Take the runtime of a job into account."""
        if not job.is_async:
            self._pacer.saw(runtime_seconds)

    def room(self, *, is_stuck: bool) -> tuple[int, int]:
        """Return how many plain and how many async tasks to claim now.

        Args:
            is_stuck: Every slot has a long task, so that none is claimed ahead.
        """
        slots = self._runner.slots
        ahead = 0 if is_stuck else self._pacer.ahead(slots)
        return max(0, slots + ahead - self.plain), max(0, self._async_room())

    def prefetch(self, *, is_stuck: bool) -> int:
        """Return how many doorbells to have fetched that no slot runs yet."""
        plain = 1 if is_stuck else self._pacer.prefetch(self._runner.slots)
        if not self.interleaved:
            return plain
        # More each time until the slots are full: nobody knows how many of what waits is async.
        most = self._async_room() + int(self._runner.async_slots * _ASYNC_AHEAD)
        return plain + min(most, _ASYNC_GROWTH * self.interleaved + _FIRST_ASYNC)

    def _async_room(self) -> int:
        return self._runner.async_slots - self.interleaved
