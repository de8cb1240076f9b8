"""Following a task until it has ended: with few questions, however often it changes.

The service tells a running task's changes on one connection. Where it does not, or where somebody
who is about to give up cannot be kept waiting for its next word, it is asked now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

from celeriac.client.calls import get_task, listen_to_task
from celeriac.client.connection import Connection
from celeriac.client.news import read_news
from celeriac.client.pauses import pause_before_look
from celeriac.client.remote_task import RemoteTask
from celeriac.core.task import TaskId
from celeriac.errors import (
    AnotherProgramError,
    CeleriacError,
    RateLimitedError,
    UnavailableError,
    WaitTimeoutError,
)

Json = Any
OnAway = Callable[[CeleriacError], None]

# How long the service waits in our place before it says that a task goes on. It counts in whole
# seconds.
_LONG = timedelta(seconds=20)
_SHORT = timedelta(seconds=1)
# A service that has nothing to tell says so every fifteen seconds.
_SILENCE = timedelta(seconds=45)
# Whoever gives up sooner than this is not kept waiting for that word.
_WORTH_LISTENING_SECONDS = 20.0


class Following:
    """One task, followed for as long as somebody waits for it."""

    def __init__(
        self,
        connection: Connection,
        task_id: TaskId,
        limit: timedelta | None,
        *,
        is_patient: bool,
        on_away: OnAway,
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
    ) -> None:
        """Prepare; nothing is asked.

        Args:
            connection: To the service.
            task_id: The task.
            limit: How long to follow it; None is as long as it takes.
            is_patient: Whether its end alone matters.
            on_away: Called with the reason each time the service did not tell.
            sleep: Waits so many seconds.
            monotonic: A clock, in seconds.
        """
        self._connection = connection
        self._id = task_id
        self._limit = limit
        self._is_patient = is_patient
        self._on_away = on_away
        self._sleep = sleep
        self._monotonic = monotonic
        self._start = monotonic()
        self._seen: RemoteTask | None = None
        # Looks since the task last changed.
        self._looks = 0

    def tasks(self) -> Iterator[RemoteTask]:
        """Yield the task each time it has changed, and end when it has ended.

        Raises:
            WaitTimeoutError: It has not ended in time.
            UnavailableError: The service was away at the first look.
        """
        while True:
            began = self._monotonic()
            patience = self._patience() if self._is_patient else None
            task, asked = self._look(patience)
            if task is not None and (self._seen is None or task.body != self._seen.body):
                self._note(task)
                yield task
                if task.state.is_final:
                    return
            # How many still go before it is no change of its own, and is not told there.
            if task is not None and not self._is_patient and not task.queued_before:
                yield from self._listen()
                if self._has_ended:
                    # One more look, for its result.
                    continue
            self._looks += 1
            if patience and timedelta(seconds=self._monotonic() - began) >= patience / 2:
                # The service has waited in our place.
                self._looks = 0
            self._pause(asked)

    @property
    def _has_ended(self) -> bool:
        return self._seen is not None and self._seen.state.is_final

    def _note(self, task: RemoteTask) -> None:
        # What moves is looked at more often; that a queue moves is not its own doing.
        if self._seen is None or _of_itself(task) != _of_itself(self._seen):
            self._looks = 0
        self._seen = task

    def _listen(self) -> Iterator[RemoteTask]:
        """Yield the task each time the service tells that it has changed, but for its end."""
        if self._left_seconds() < _WORTH_LISTENING_SECONDS:
            return
        lines = self._connection.listen(listen_to_task(self._id), silence=_SILENCE)
        try:
            with closing(lines):
                for told in read_news(lines):
                    if told is not None and _differ(told, self._seen):
                        self._note(told)
                        if self._has_ended:
                            return
                        yield told
                    if self._left_seconds() < _WORTH_LISTENING_SECONDS:
                        return
        except AnotherProgramError:
            # It will not turn into the service.
            raise
        except (UnavailableError, RateLimitedError) as error:
            self._on_away(error)

    def _look(self, wait: timedelta | None) -> tuple[RemoteTask | None, timedelta | None]:
        """Return the task, or None and the pause that the service asked for, if it did."""
        try:
            return self._connection.send(get_task(self._id, wait=wait)), None
        except AnotherProgramError:
            raise
        except (UnavailableError, RateLimitedError) as error:
            if self._seen is None and isinstance(error, UnavailableError):
                raise
            self._on_away(error)
            return None, getattr(error, "retry_after", None)

    def _pause(self, asked: timedelta | None) -> None:
        left = None if self._limit is None else timedelta(seconds=self._left_seconds())
        if self._limit is not None and left is not None and left <= timedelta(0):
            state = self._seen.state.value if self._seen else "unknown"
            raise WaitTimeoutError(self._id, state, self._limit)
        if self._looks:
            waited = timedelta(seconds=self._monotonic() - self._start)
            pause = pause_before_look(self._looks, waited=waited, asked=asked, left=left)
            self._sleep(pause.total_seconds())

    def _patience(self) -> timedelta | None:
        """Return how long the service may wait in our place; None when it is hardly worth it."""
        if self._limit is None:
            return _LONG
        left = timedelta(seconds=self._left_seconds())
        # Whole seconds, and not one too many.
        return None if left < _SHORT else min(timedelta(seconds=left // _SHORT), _LONG)

    def _left_seconds(self) -> float:
        if self._limit is None:
            return float("inf")
        return self._start + self._limit.total_seconds() - self._monotonic()


def _differ(told: RemoteTask, seen: RemoteTask | None) -> bool:
    return seen is None or _of_itself(told) != _of_itself(seen)


def _of_itself(task: RemoteTask) -> dict[str, Json]:
    return {**task.body, "queued_before": None, "result": None}
