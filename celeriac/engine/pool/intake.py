"""What a worker was delivered and has not claimed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celeriac.core.task import TaskId
from celeriac.engine.pool.told import Told
from celeriac.telemetry import Counters


class Intake:
    """Doorbells on their way from the consumer to a claim.

    `put_all` is for any thread; everything else is the pool's thread's.
    """

    def __init__(
        self,
        told: Told,
        counters: Counters,
        *,
        is_async: Callable[[str], bool] = lambda _: False,
        is_at_most_once: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._told = told
        self._counters = counters
        self._is_async = is_async
        self._is_at_most_once = is_at_most_once
        self._inbox: deque[Any] = deque()
        # Celery's request of every task that waits here or is asked for.
        self._requests: dict[TaskId, Any] = {}
        # By what a message says of their names: plain tasks, and async ones.
        self._waiting: deque[TaskId] = deque()
        self._async: deque[TaskId] = deque()

    def put_all(self, requests: Iterable[Any]) -> None:
        """Take doorbells that the consumer delivered, as Celery's requests."""
        self._inbox.extend(requests)

    @property
    def has_news(self) -> bool:
        """Whether something was put that nobody looked at."""
        return bool(self._inbox)

    @property
    def has_waiting(self) -> bool:
        """Whether a doorbell waits to be asked for."""
        return bool(self._waiting or self._async)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here and nothing is asked for."""
        return not (self._inbox or self._requests)

    def look(self, find_held: Callable[[TaskId], Any | None]) -> None:
        """Sort what was put: a doorbell for a task that is here already is dropped.

        Args:
            find_held: Returns Celery's request of a task whose lease this worker has.
        """
        inbox, requests = self._inbox, self._requests
        while inbox:
            request = inbox.popleft()
            task_id = request.id
            known = find_held(task_id) or requests.get(task_id)
            if known is not None:
                self._counters.add("doorbells_twice")
                self._told.duplicate(request, known)
                continue
            requests[task_id] = request
            self._lane_of(request.name).append(task_id)

    def close(self) -> None:
        """Forget what waits: left unacknowledged, the broker gives it to another worker."""
        self._inbox.clear()
        self._waiting.clear()
        self._async.clear()

    def give_back(self, *, keep: int) -> None:
        """Return doorbells of plain tasks to the broker, all but the first few."""
        while len(self._waiting) > keep:
            task_id = self._waiting[keep]
            del self._waiting[keep]
            self._told.returned(self._requests.pop(task_id))

    def ask_for(self, most: int, most_async: int = 0, *, free: int = 0) -> list[TaskId]:
        """Return what to claim next, in the order in which it came, and async tasks after that.

        Args:
            most: Plain tasks.
            most_async: Async tasks.
            free: Slots that have nothing to do. What may run once only is claimed for one of these
                and never ahead: should this worker die, a task that waited here would be lost.
        """
        wanted: list[TaskId] = []
        while self._waiting and len(wanted) < most:
            if len(wanted) >= free and self._is_at_most_once(self._name_of(self._waiting[0])):
                break
            wanted.append(self._waiting.popleft())
        wanted += [self._async.popleft() for _ in range(min(most_async, len(self._async)))]
        return wanted

    def put_back(self, wanted: Sequence[TaskId]) -> None:
        """Have what was asked for asked for again: nobody answered."""
        for task_id in reversed(wanted):
            self._lane_of(self._name_of(task_id)).appendleft(task_id)

    def claimed(self, task_id: TaskId) -> Any:
        """Return the request of a task whose claim was granted."""
        return self._requests.pop(task_id)

    def refused(self, task_ids: Sequence[TaskId]) -> None:
        """Drop the doorbells of tasks whose claims were refused."""
        self._counters.add("claims_refused", len(task_ids))
        for task_id in task_ids:
            self._told.refused(self._requests.pop(task_id))

    def _lane_of(self, name: str) -> deque[TaskId]:
        return self._async if self._is_async(name) else self._waiting

    def _name_of(self, task_id: TaskId) -> str:
        return str(self._requests[task_id].name)
