"""A reader of Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event, or a comment."""

    name: str
    data: Json
    id: str


class Stream:
    """The events of one answer, in order."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self, name: str = "") -> Told:
        """Return the next event, or the next of a name.

        Raises:
            StopIteration: The stream has ended.
        """
        while True:
            told = self._read()
            if told.name and (not name or told.name == name):
                return told

    def next_list(self) -> Json:
        """Return the next news of the list that names a task."""
        while True:
            told = self.next("tasks").data
            if told["ids"]:
                return told

    def next_comment(self) -> str:
        """Return the next comment."""
        while not (line := next(self._lines)).startswith(":"):
            continue
        return line

    def rest(self) -> list[Told]:
        """Return what comes until the stream ends."""
        found = []
        try:
            while True:
                found.append(self.next())
        except StopIteration:
            return found

    def _read(self) -> Told:
        fields: dict[str, str] = {}
        while line := next(self._lines):
            name, _, value = line.partition(": ")
            fields[name] = value
        data = json.loads(fields["data"]) if "data" in fields else None
        return Told(name=fields.get("event", ""), data=data, id=fields.get("id", ""))


@contextmanager
def watching(
    client: httpx.Client, path: str, *, last: str = "", **headers: str
) -> Iterator[Stream]:
    """Open a stream, and read its first line, so that what comes is heard."""
    sent = {**headers, **({"last-event-id": last} if last else {})}
    with client.stream("GET", path, headers=sent) as response:
        assert response.status_code == 200, response.read()
        stream = Stream(response)
        assert next(stream._lines).startswith("retry: ")
        yield stream
