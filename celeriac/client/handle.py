"""A task that was submitted, to be waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from os import PathLike
from typing import Any, BinaryIO

from celeriac.client.calls import cancel_task, get_task
from celeriac.client.connection import Connection
from celeriac.client.downloads import download
from celeriac.client.following import Following, OnAway
from celeriac.client.remote_task import RemoteTask
from celeriac.core.state import TaskState
from celeriac.core.task import TaskId

Json = Any
Seconds = float


class Handle:
    """One task by its id; every look asks the service."""

    def __init__(
        self,
        connection: Connection,
        task_id: TaskId,
        *,
        accepted: RemoteTask | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._sleep = sleep
        self._monotonic = monotonic
        self.id = task_id
        # The task as the service answered when it was submitted; None when it was not by us.
        self.accepted = accepted

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    def get(self) -> RemoteTask:
        """Return the task as it stands now.

        Raises:
            TaskNotFoundError: There is none, or it is somebody else's.
        """
        return self._connection.send(get_task(self.id))

    @property
    def state(self) -> TaskState:
        """The task's state now."""
        return self.get().state

    def cancel(self) -> RemoteTask:
        """Cancel the task.

        Raises:
            TaskAlreadyFinalError: It has ended.
        """
        return self._connection.send(cancel_task(self.id))

    def wait(self, timeout: timedelta | Seconds | None = None) -> RemoteTask:
        """Return the task once it has ended, however it ended.

        Args:
            timeout: How long to wait, as a duration or in seconds; None is as long as it takes.

        Raises:
            WaitTimeoutError: It has not ended in time; it goes on.
        """
        if self.accepted is not None and self.accepted.state.is_final:
            return self.accepted
        for task in self._follow(timeout, is_patient=True, on_away=lambda _: None):
            if task.state.is_final:
                return task
        raise AssertionError("a watch ends with the task or with an error")

    def result(self, timeout: timedelta | Seconds | None = None) -> Json:
        """Return what the task's function returned, as JSON, once it completed.

        Raises:
            TaskFailedError: It failed, was cancelled or has expired.
            WaitTimeoutError: It has not ended in time; it goes on.
        """
        return self.wait(timeout).result_or_raise()

    def download(self, to: str | PathLike[str] | BinaryIO) -> None:
        """Write what the task's function returned to a file: the file itself, or its JSON.

        Args:
            to: Where to; a file there is replaced once all has come. Or a stream of bytes.

        Raises:
            NoResultError: The task has not ended, or not with a result.
            FileNotKeptError: The file is gone.
        """
        download(self._connection, self.id, to)

    def watch(
        self,
        timeout: timedelta | Seconds | None = None,
        *,
        on_away: OnAway = lambda _: None,
    ) -> Iterator[RemoteTask]:
        """Yield the task each time it has changed, and end when it has ended.

        A service that is away for a while, or asks for fewer questions, is asked again later.

        Args:
            timeout: How long to watch, as a duration or in seconds; None is as long as it takes.
            on_away: Called with the reason each time it did not tell.

        Raises:
            WaitTimeoutError: It has not ended in time; it goes on.
            UnavailableError: The service was away at the first look.
        """
        return self._follow(timeout, is_patient=False, on_away=on_away)

    def _follow(
        self, timeout: timedelta | Seconds | None, *, is_patient: bool, on_away: OnAway
    ) -> Iterator[RemoteTask]:
        return Following(
            self._connection,
            self.id,
            duration_of(timeout),
            is_patient=is_patient,
            on_away=on_away,
            sleep=self._sleep,
            monotonic=self._monotonic,
        ).tasks()


def duration_of(timeout: timedelta | Seconds | None) -> timedelta | None:
    """Return a time that was given as a duration or in seconds."""
    if timeout is None or isinstance(timeout, timedelta):
        return timeout
    return timedelta(seconds=timeout)
