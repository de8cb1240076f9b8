"""The service as an object: one method for each thing that can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from os import PathLike
from types import TracebackType
from typing import Any, BinaryIO, Self

from celeriac.client import calls
from celeriac.client.calls import SubmitOptions
from celeriac.client.connection import Connection
from celeriac.client.credentials import Credentials
from celeriac.client.handle import Handle
from celeriac.client.remote_task import RemoteTask, TaskPage
from celeriac.client.submitter import Submitter
from celeriac.core.queue import Queue
from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.core.task_type import TaskType
from celeriac.errors import CeleriacError

Json = Any

DEFAULT_TIMEOUT = timedelta(seconds=30)


class Client:
    """A service, and who asks it.

    Every method raises the same errors as the service, found by their code, and
    ServiceUnreachableError when there is no answer.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        user: str | None = None,
        password: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
    ) -> None:
        """Prepare to ask; nothing is sent before the first call.

        Args:
            url: Where the service is, such as http://127.0.0.1:8000.
            key: An API key, or an access token that somebody got by signing in.
            user: Signs in with a password in place of a key, again whenever the token has ended.
            password: The user's.
            timeout: How long one answer may take.
        """
        if (key is None) == (user is None):
            raise TypeError("give a key, or a user and a password")
        credentials = Credentials(key=key, user=user, password=password)
        self._connection = Connection(url, credentials, timeout=timeout)
        self._submitter = Submitter(self._connection, SubmitOptions())

    @property
    def url(self) -> str:
        """Where the service is, without a slash at its end."""
        return self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; its handles and submitters use them too."""
        self._connection.close()

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | None = None,
        not_before: datetime | None = None,
        expires_at: datetime | None = None,
        max_attempts: int | None = None,
        timeout: timedelta | None = None,
        tags: tuple[str, ...] = (),
        unique_for: timedelta | None = None,
    ) -> Submitter:
        """Return a submitter with these options for every task that it submits.

        Example:
            client.options(delay=timedelta(minutes=5), priority=9).submit("process", data="x")
        """
        given = SubmitOptions(
            queue=queue,
            priority=priority,
            delay=delay,
            not_before=not_before,
            expires_at=expires_at,
            max_attempts=max_attempts,
            timeout=timeout,
            tags=tags,
            unique_for=unique_for,
        )
        return Submitter(self._connection, given)

    def submit(
        self,
        name: str,
        /,
        *,
        idempotency_key: str | None = None,
        wait: timedelta | float | None = None,
        **arguments: Json,
    ) -> Handle:
        """Submit a task: when this returns, it is kept and will run.

        Arguments with the names of these two cannot be given here; submit_arguments() takes them.

        Args:
            name: The task's name.
            idempotency_key: Any text that is new for each task: the same request with the same
                key within 24 hours, because an answer was lost, finds the first one's task.
            wait: How long to wait for its end, at most 60 s; then `accepted` has its result, and
                result() returns it at once.
            **arguments: The named arguments of its function.

        A `Path`, a `File` or a stream of bytes among the arguments is sent as a file, piece by
        piece: `client.submit("image.thumbnail", image=Path("cat.png"), width=128)`.

        Raises:
            TaskNameNotFoundError: There is no task of this name.
            InvalidArgumentsError: The arguments do not fit it; `problems` names each.
            OSError: A file cannot be read.
        """
        return self._submitter.submit_arguments(
            name, arguments, idempotency_key=idempotency_key, wait=wait
        )

    def submit_arguments(
        self,
        name: str,
        arguments: Mapping[str, Json],
        *,
        idempotency_key: str | None = None,
        wait: timedelta | float | None = None,
    ) -> Handle:
        """Submit a task with its named arguments as one mapping."""
        return self._submitter.submit_arguments(
            name, arguments, idempotency_key=idempotency_key, wait=wait
        )

    def submit_many(
        self,
        tasks: Iterable[tuple[str, Mapping[str, Json]]],
        *,
        idempotency_key: str | None = None,
        atomic: bool = False,
    ) -> tuple[Handle | CeleriacError, ...]:
        """Submit many tasks, a thousand in each commit.

        Example:
            client.submit_many(("process", {"data": line}) for line in file)

        Args:
            tasks: Of each its name and its named arguments; files cannot be among them.
            idempotency_key: As submit() takes it, for all of them together.
            atomic: All of them or none; then a thousand at most.

        Returns:
            For each, in order, its handle, or the error for which it was refused.

        Raises:
            InvalidBatchError: One is bad, and it was all or nothing.
        """
        return self._submitter.submit_many(tasks, idempotency_key=idempotency_key, atomic=atomic)

    def run(
        self, name: str, /, *, timeout: timedelta | float | None = None, **arguments: Json
    ) -> Json:
        """Submit a task and return its result.

        An argument called `timeout` cannot be given here; submit() takes it.

        Raises:
            TaskFailedError: It failed, was cancelled or has expired.
            WaitTimeoutError: It has not ended in time; it goes on.
        """
        return self._submitter.run(name, timeout=timeout, **arguments)

    def handle(self, task_id: str) -> Handle:
        """Return a task by its id, without asking whether it exists."""
        return Handle(self._connection, TaskId(task_id))

    def get(self, task_id: str) -> RemoteTask:
        """Return a task as it stands now.

        Raises:
            TaskNotFoundError: There is none, or it is somebody else's.
        """
        return self._connection.send(calls.get_task(task_id))

    def download(self, task_id: str, to: str | PathLike[str] | BinaryIO) -> None:
        """Write what a task's function returned to a file; see Handle.download."""
        self.handle(task_id).download(to)

    def cancel(self, task_id: str) -> RemoteTask:
        """Cancel a task; one that runs is asked to stop.

        Raises:
            TaskNotFoundError: There is none, or it is somebody else's.
            TaskAlreadyFinalError: It has ended.
        """
        return self._connection.send(calls.cancel_task(task_id))

    def retry(self, task_id: str, /, **changes: Json) -> Handle:
        """Run a task that has ended again, as a new task, with some arguments changed or none.

        Raises:
            TaskNotFoundError: There is none, or it is somebody else's.
            TaskNotFinalError: It has not ended.
            InvalidArgumentsError: The changed arguments do not fit.
        """
        task = self._connection.send(calls.retry_task(task_id, changes))
        return Handle(self._connection, task.id, accepted=task)

    def task_types(self) -> tuple[TaskType, ...]:
        """Return everything that can be submitted, by name."""
        return self._connection.send(calls.list_task_types())

    def task_type(self, name: str) -> TaskType:
        """Return what one task name stands for.

        Raises:
            TaskNameNotFoundError: There is no task of this name.
        """
        return self._connection.send(calls.get_task_type(name))

    def queues(self) -> tuple[Queue, ...]:
        """Return every queue that has a task, a worker or a pause, by name."""
        return self._connection.send(calls.list_queues())

    def pause_queue(self, name: str, reason: str = "") -> Queue:
        """Have nothing more of a queue begun until it is resumed; what runs goes on."""
        return self._connection.send(calls.pause_queue(name, reason))

    def resume_queue(self, name: str) -> Queue:
        """Have tasks of a queue begun again.

        Raises:
            QueueNotFoundError: Nothing is known of such a queue.
        """
        return self._connection.send(calls.resume_queue(name))

    def list(
        self,
        *,
        states: tuple[TaskState, ...] = (),
        name: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        page_token: str = "",
    ) -> TaskPage:
        """Return one page of the tasks the caller sees, newest first.

        Args:
            states: Only tasks in one of these; none is all.
            name: Only tasks of this task name.
            queue: Only tasks of this queue.
            tag: Only tasks with this tag.
            since: Only tasks created at or after this moment.
            limit: Tasks on the page, 1 to 200.
            page_token: The `next_page_token` of the page before.
        """
        call = calls.list_tasks(
            states=states,
            name=name,
            queue=queue,
            tag=tag,
            since=since,
            limit=limit,
            page_token=page_token,
        )
        return self._connection.send(call)
