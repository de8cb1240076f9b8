"""One who watches: a place in what has happened, and what is new from there.

Nothing waits here to be read. Whoever takes seldom gets all that happened meanwhile in one word for
each topic: a slow reader loses detail, and costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from celeriac.core.task import TaskId
from celeriac.service.callers import Caller
from celeriac.service.reports import TaskReport
from celeriac.web.live.events import Event, Topics
from celeriac.web.live.hub import Hub
from celeriac.web.live.ring import Moment, Seen
from celeriac.web.schemas import TaskOut

Json = Any

# A page shows fifty; whoever shows more asks for what it shows.
MOST_NAMED = 500


class Watch:
    """One connection's view of the hub."""

    def __init__(
        self,
        hub: Hub,
        who: Caller,
        topics: Topics,
        *,
        versions: Mapping[TaskId, int],
        ids_by_version: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        """Begin to watch, from now on.

        Args:
            hub: Who looks.
            who: Who watches.
            topics: What.
            versions: Of each task the version that is known already.
            ids_by_version: The only topic is one task: its events go by its versions, which mean
                the same in every process.
            names: What can be submitted, told once where it is watched: whoever comes back, to a
                service that was started again with new code, sees by it what is new.
        """
        self.who = who
        self._hub = hub
        self._topics = topics
        # Of each task the version that was told last; one that is missing is told at once.
        self._versions = dict(versions)
        self._waker = asyncio.Event()
        self._number = hub.ring.last
        # What is older is on the page already.
        self._began_at: datetime | None = hub.now()
        self._ids_by_version = ids_by_version
        self._names = names if topics.task_types else None
        self._standing = 0
        self._is_reset = False

    def __enter__(self) -> Self:
        self._hub.enter(self._waker, self._topics)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hub.leave(self._waker)

    @property
    def is_over(self) -> bool:
        """Whether the service ends."""
        return self._hub.is_closed

    def resume(self, last_event_id: str) -> None:
        """Go on after an event that was read before, or say that too much has happened since."""
        name, _, number = last_event_id.partition("-")
        is_number = number.isascii() and number.isdigit() and len(number) < 16
        is_known = name == self._hub.name and is_number
        if is_known and self._hub.ring.holds_all_after(int(number)):
            self._number = int(number)
            self._began_at = None
        else:
            self._is_reset = True

    async def wait(self, seconds: float) -> None:
        """Return when there may be news, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._waker.wait()
        except TimeoutError:
            return
        self._waker.clear()

    def take(self, first: Mapping[TaskId, TaskReport] | None = None) -> list[Event]:
        """Return what is new since the last time, coalesced.

        Args:
            first: The tasks as they were when the watch began.
        """
        events = []
        moments = list(self._hub.ring.after(self._number))
        self._number = self._hub.ring.last
        if self._is_reset:
            self._is_reset = False
            events.append(self._event("reset", {}))
        if self._names is not None:
            named = [name for name in self._names if self.who.knows(name)]
            self._names = None
            events.append(self._event("task-types", {"names": named}))
        if self._topics.tasks and moments:
            told = self._list_news(moments)
            events += [self._event("tasks", told)] if told else []
        events += self._task_news(first or self._hub.reports)
        standing = self._hub.stats.standing
        if self._topics.stats and standing is not None and standing.number != self._standing:
            self._standing = standing.number
            events.append(self._event("stats", standing.to_json()))
        return events

    def _event(self, name: str, data: Json) -> Event:
        return Event(name=name, data=data, id=f"{self._hub.name}-{self._number}")

    def _task_news(self, reports: Mapping[TaskId, TaskReport]) -> Iterator[Event]:
        for task_id in self._topics.task_ids:
            report = reports.get(task_id)
            # A key's task names may have been cut down meanwhile, or the role.
            if report is None or not self.who.sees(report.task):
                continue
            if report.task.version != self._versions.get(task_id):
                self._versions[task_id] = report.task.version
                told = patch_of(report)
                if self._ids_by_version:
                    yield Event(name="task", data=told, id=str(report.task.version))
                else:
                    yield self._event("task", told)

    def _list_news(self, moments: list[Moment]) -> Json:
        ids: dict[TaskId, None] = {}
        new = mine = 0
        is_partial = False
        for moment in moments:
            is_partial |= moment.is_partial
            for task_id, seen in moment.tasks.items():
                if not self._may_name(seen):
                    is_partial |= seen is None
                    continue
                ids[task_id] = None
                if seen is not None and self._is_new(seen):
                    new += 1
                    mine += seen.submitted_by == self.who.name
        if not ids and not is_partial:
            return None
        named = list(ids)[-MOST_NAMED:]
        return {
            "ids": named,
            "new": new,
            "mine": mine,
            "gone": 0,
            "more": is_partial or len(named) < len(ids),
        }

    def _is_new(self, seen: Seen) -> bool:
        return seen.is_new and (self._began_at is None or seen.created_at > self._began_at)

    def _may_name(self, seen: Seen | None) -> bool:
        if seen is None:
            # Nobody looked whose it is.
            return self.who.sees_all and not self.who.task_patterns
        is_own = seen.submitted_by == self.who.name
        return self.who.knows(seen.name) and (self.who.sees_all or is_own)


def patch_of(report: TaskReport) -> Json:
    """Return a task as it is told with each change: all but the result, which may be large."""
    return TaskOut.of(report).model_dump(mode="json", exclude={"result"})
