"""What a worker has claimed and no slot runs yet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from celeriac.engine.pool.job import Job
from celeriac.engine.pool.runner import Runner

# How long a suspect waits for what runs to end. Longer, and one long task would keep every other
# slot idle; what has run for so long is hardly what will bring the worker down now.
_PATIENCE_SECONDS = 5.0


class Line:
    """Claimed jobs in the order of their turn, with a quarantine for suspects.

    When a whole worker dies, everything that it ran is charged with a crash. A task that would not
    survive another charge runs alone in its worker, so that the next crash is its own or nobody's.
    """

    def __init__(self) -> None:
        self._plain: deque[Job] = deque()
        self._async: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        # The suspect that runs; nothing else begins beside it.
        self._alone: Job | None = None
        self._waits_since: float | None = None

    def __len__(self) -> int:
        return len(self._plain) + len(self._async) + len(self._suspects)

    def __iter__(self) -> Iterator[Job]:
        yield from (*self._suspects, *self._plain, *self._async)

    @property
    def is_quarantine(self) -> bool:
        """Whether a suspect runs or is next, so that nothing else begins."""
        return self._alone is not None or bool(self._suspects)

    def put(self, job: Job) -> None:
        """Add a job at the end."""
        self._lane_of(job).append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Add jobs at the front, in their order: they were handed over and have not begun."""
        for job in reversed(list(jobs)):
            self.ended(job)
            self._lane_of(job).appendleft(job)

    def remove(self, job: Job) -> bool:
        """Take a job out; False when it is not here."""
        lane = self._lane_of(job)
        if job not in lane:
            return False
        lane.remove(job)
        return True

    def clear(self) -> list[Job]:
        """Take out every job."""
        jobs = list(self)
        for lane in (self._suspects, self._plain, self._async):
            lane.clear()
        return jobs

    def clear_held_up(self) -> list[Job]:
        """Take out every job but a suspect whose turn is next: another worker may run them now."""
        first = [] if self._alone is not None else list(self._suspects)[:1]
        jobs = [job for job in self if job not in first]
        self.clear()
        self._suspects.extend(first)
        return jobs

    def ended(self, job: Job) -> None:
        """Take note that a job does not run any more."""
        if job is self._alone:
            self._alone = None

    def take(self, runner: Runner, running: int) -> list[Job]:
        """Take out what shall begin now.

        Args:
            runner: Who has the room.
            running: Jobs that it has already.
        """
        if self._alone is not None:
            return []
        if self._suspects:
            return self._take_suspect(runner, running)
        jobs = _first(self._plain, runner.room() if self._plain else 0)
        if self._async:
            jobs += _first(self._async, runner.async_room(len(self._async)))
        return jobs

    def _take_suspect(self, runner: Runner, running: int) -> list[Job]:
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        if running and now - self._waits_since < _PATIENCE_SECONDS:
            return []
        room = runner.async_room(1) if self._suspects[0].is_async else runner.room()
        if room < 1:
            return []
        self._waits_since = None
        self._alone = self._suspects.popleft()
        return [self._alone]

    def _lane_of(self, job: Job) -> deque[Job]:
        if job.is_suspect:
            return self._suspects
        return self._async if job.is_async else self._plain


def _first(jobs: deque[Job], most: int) -> list[Job]:
    return [jobs.popleft() for _ in range(min(max(0, most), len(jobs)))]
