"""The one that listens and looks for all who watch.

It hears that tasks changed (from every process, by the broker), looks them up in the ledger at
most twice a second however many watch, and remembers a minute. While nothing can be heard it looks
at the watched tasks once a second, and has lists told that they may be old.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from celeriac.core.task import TaskId
from celeriac.errors import UnavailableError
from celeriac.service.reports import TaskReport
from celeriac.web.live.ear import Ear, Heard, Listen
from celeriac.web.live.events import Topics
from celeriac.web.live.ring import Ring, Seen
from celeriac.web.live.stats import Depths, Stats

logger = logging.getLogger(__name__)

# Between two looks; a change after a silence is looked at without a pause.
PAUSE_SECONDS = 0.5
# The longest time without a look: a second, for the stats and for what cannot be heard.
_SILENCE_SECONDS = 1.0
# How often watched tasks are looked at although nothing was heard of them: a word may be lost.
_DOUBT_SECONDS = 5.0
# How long the hub listens when nobody watches any more, so that a browser may come back.
_LINGER_SECONDS = 60.0
MOST_LOOKED_UP = 500
_MOST_KNOWN = 10_000
# A task that is older when it is first heard of is no news.
_NEW = timedelta(seconds=10)


class Ledger(Protocol):
    """What the hub asks, on behalf of nobody in particular."""

    def look_at(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, TaskReport]:
        """Return those of some tasks that exist, whosever they are."""
        ...

    def count_unfinished(self) -> Depths:
        """Return how many tasks have not ended, by queue and state."""
        ...


class Hub:
    """What happens, for all who watch in this process."""

    def __init__(self, listen: Listen, ledger: Ledger, *, now: Callable[[], datetime]) -> None:
        self._listen = listen
        self._ledger = ledger
        self.now = now
        # Tells a moment of this hub from those of another process, or of an earlier start.
        self.name = secrets.token_hex(4)
        self.ring = Ring()
        self.stats = Stats(now)
        # The watched tasks as they were when last looked at.
        self.reports: dict[TaskId, TaskReport] = {}
        self.is_closed = False
        self._watched: Counter[TaskId] = Counter()
        self._wakers: dict[asyncio.Event, Topics] = {}
        self._known: OrderedDict[TaskId, None] = OrderedDict()
        self._doubt_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._end = asyncio.Event()
        self._ear = Ear(self._wake)
        # What was there before the hub listened is no news.
        self._began_at = now()

    def enter(self, waker: asyncio.Event, topics: Topics) -> None:
        """Look for somebody who watches; the waker is set whenever there may be news."""
        self._wakers[waker] = topics
        self._watched.update(topics.task_ids)
        if topics.stats:
            self.stats.begin(time.monotonic())
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run())

    def leave(self, waker: asyncio.Event) -> None:
        """Look for somebody no longer."""
        topics = self._wakers.pop(waker)
        self._watched.subtract(topics.task_ids)
        for task_id in topics.task_ids:
            if self._watched[task_id] <= 0:
                del self._watched[task_id]
                self.reports.pop(task_id, None)
        if not any(each.stats for each in self._wakers.values()):
            self.stats.end()

    def close(self) -> None:
        """Have every watch end at once, and stop; from any thread."""
        self.is_closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_all)

    async def closed(self) -> None:
        """Return when the hub listens no more."""
        self.close()
        if self._task is None:
            return
        try:
            await self._task
        except Exception:
            # What failed there keeps nobody from ending in order.
            logger.exception("whoever watches was told nothing any more")

    # ---- the loop

    async def _run(self) -> None:
        self._began_at = self.now()
        listener = await run_in_threadpool(self._listen, self._ear.hear, self._ear.lose)
        left_at = time.monotonic()
        try:
            while not self.is_closed:
                await _wait(self._news, _SILENCE_SECONDS)
                self._news.clear()
                now = time.monotonic()
                left_at = now if self._wakers else left_at
                if now - left_at > _LINGER_SECONDS:
                    return
                await self._look(self._ear.take(), now)
                await self._count(now)
                self._wake_all()
                await _wait(self._end, PAUSE_SECONDS)
        finally:
            await run_in_threadpool(listener.stop)

    async def _look(self, heard: Heard, now: float) -> None:
        """Look at what changed, and remember the moment if anything did."""
        self.stats.add(heard.ended)
        is_doubted = heard.is_deaf or now - self._doubt_at > _DOUBT_SECONDS
        if is_doubted:
            self._doubt_at = now
        watched = [each for each in self._watched if is_doubted or each in heard.task_ids]
        if not (watched or heard.task_ids or heard.is_partial):
            return
        # The watched ones first: nobody else tells of them.
        wanted = list(dict.fromkeys((*watched, *heard.task_ids)))[:MOST_LOOKED_UP]
        is_list_watched = any(topics.tasks for topics in self._wakers.values())
        found = await self._find(wanted if is_list_watched else wanted[: len(watched)])
        for task_id in watched:
            if task_id in found and task_id in self._watched:
                self.reports[task_id] = found[task_id]
        if heard.task_ids or heard.is_partial:
            seen = {task_id: self._see(found.get(task_id)) for task_id in heard.task_ids}
            self.ring.add(seen, is_partial=heard.is_partial, at=now)

    async def _find(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, TaskReport]:
        if not task_ids:
            return {}
        try:
            return await run_in_threadpool(self._ledger.look_at, task_ids)
        except UnavailableError:
            # What could not be looked up is told as something that changed.
            self._doubt_at = 0.0
            return {}

    def _see(self, report: TaskReport | None) -> Seen | None:
        if report is None:
            return None
        task = report.task
        is_young = task.created_at > max(self._began_at, self.now() - _NEW)
        is_new = is_young and task.id not in self._known
        self._known[task.id] = None
        self._known.move_to_end(task.id)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return Seen(
            name=task.name,
            submitted_by=task.submitted_by,
            created_at=task.created_at,
            is_new=is_new,
        )

    async def _count(self, now: float) -> None:
        if not self.stats.is_due(now):
            return
        if self.stats.is_count_due(now):
            try:
                depths = await run_in_threadpool(self._ledger.count_unfinished)
                self.stats.counted(depths, at=now, took=time.monotonic() - now)
            except UnavailableError:
                logger.warning("what waits could not be counted: the ledger is away")
        self.stats.stand(now)

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    def _wake_all(self) -> None:
        for waker in self._wakers:
            waker.set()

    def _end_all(self) -> None:
        self._end.set()
        self._news.set()
        self._wake_all()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
