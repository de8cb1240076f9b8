"""Submitting tasks with some options."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celeriac.client import calls
from celeriac.client.calls import SubmitOptions
from celeriac.client.connection import Connection
from celeriac.client.handle import Handle

Json = Any


class Submitter:
    """A service, and how the tasks shall be run that are submitted here."""

    def __init__(self, connection: Connection, options: SubmitOptions) -> None:
        self._connection = connection
        self._options = options

    def submit(self, name: str, /, **arguments: Json) -> Handle:
        """Submit a task: when this returns, it is kept and will run.

        Raises:
            TaskNameNotFoundError: There is no task of this name.
            InvalidArgumentsError: The arguments do not fit it; `problems` names each.
            InvalidOptionError: An option is out of bounds.
        """
        return self.submit_arguments(name, arguments)

    def submit_arguments(self, name: str, arguments: Mapping[str, Json]) -> Handle:
        """Submit a task with its named arguments as one mapping."""
        task = self._connection.send(calls.submit(name, arguments, self._options))
        return Handle(self._connection, task.id, accepted=task)

    def run(
        self, name: str, /, *, timeout: timedelta | float | None = None, **arguments: Json
    ) -> Json:
        """Submit a task and return its result; see Client.run."""
        return self.submit_arguments(name, arguments).result(timeout)
