"""Submitting tasks with some options."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from celeriac.client import calls
from celeriac.client.calls import SubmitOptions
from celeriac.client.connection import Connection
from celeriac.client.handle import Handle, duration_of
from celeriac.errors import CeleriacError

Json = Any
Seconds = float

# As many as the service takes in one commit.
MOST_IN_ONE = 1000
# How long the service may wait before it says that a task goes on.
_LONG = timedelta(seconds=20)


class Submitter:
    """A service, and how the tasks shall be run that are submitted here."""

    def __init__(self, connection: Connection, options: SubmitOptions) -> None:
        self._connection = connection
        self._options = options

    def submit(
        self,
        name: str,
        /,
        *,
        idempotency_key: str | None = None,
        wait: timedelta | Seconds | None = None,
        **arguments: Json,
    ) -> Handle:
        """Submit a task: when this returns, it is kept and will run; see Client.submit.

        Raises:
            TaskNameNotFoundError: There is no task of this name.
            InvalidArgumentsError: The arguments do not fit it; `problems` names each.
            InvalidOptionError: An option is out of bounds.
        """
        return self.submit_arguments(name, arguments, idempotency_key=idempotency_key, wait=wait)

    def submit_arguments(
        self,
        name: str,
        arguments: Mapping[str, Json],
        *,
        idempotency_key: str | None = None,
        wait: timedelta | Seconds | None = None,
    ) -> Handle:
        """Submit a task with its named arguments as one mapping."""
        call = calls.submit(
            name,
            arguments,
            self._options,
            idempotency_key=idempotency_key,
            wait=duration_of(wait),
        )
        task = self._connection.send(call)
        return Handle(self._connection, task.id, accepted=task)

    def submit_many(
        self,
        tasks: Iterable[tuple[str, Mapping[str, Json]]],
        *,
        idempotency_key: str | None = None,
        atomic: bool = False,
    ) -> tuple[Handle | CeleriacError, ...]:
        """Submit many tasks, a thousand in each commit; see Client.submit_many."""
        listed = list(tasks)
        # All or nothing is one commit, and one that is too large is for the service to refuse.
        size = max(len(listed), 1) if atomic else MOST_IN_ONE
        found: list[Handle | CeleriacError] = []
        for begin in range(0, len(listed), size):
            key = idempotency_key
            if key is not None and len(listed) > size:
                key = f"{key}-{begin // size}"
            call = calls.submit_many(
                listed[begin : begin + size],
                self._options,
                idempotency_key=key,
                is_atomic=atomic,
            )
            found += [
                each if isinstance(each, CeleriacError) else Handle(self._connection, each)
                for each in self._connection.send(call)
            ]
        return tuple(found)

    def run(
        self, name: str, /, *, timeout: timedelta | Seconds | None = None, **arguments: Json
    ) -> Json:
        """Submit a task and return its result; see Client.run."""
        limit = duration_of(timeout)
        began = time.monotonic()
        handle = self.submit_arguments(name, arguments, wait=_LONG if limit is None else limit)
        if limit is not None:
            limit = max(timedelta(0), limit - timedelta(seconds=time.monotonic() - began))
        return handle.result(limit)
