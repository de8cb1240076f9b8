"""Where a process keeps the messages it has taken and not acknowledged: a hash of its own.

A registry in the broker names every parking with the process it belongs to, so that the janitor
can give back what a dead process had.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from celeriac.engine.identity import machine_id, process_started

REGISTRY_KEY = "celeriac:parkings"
_PREFIX = "celeriac:parked:"


class Taken(NamedTuple):
    """One message that was taken and parked."""

    tag: str
    # The list it lay in: a queue's name, with its priority behind it.
    list: str
    body: bytes


class Owner(NamedTuple):
    """The process that a parking belongs to."""

    machine: str
    pid: int
    process_started: str


def _script(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()


class Parking:
    """The parking of this process."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._nonce = _nonce_of_process()
        self.key = _PREFIX + self._nonce
        self._fetch = client.register_script(_script("fetch.lua"))
        self._requeue = client.register_script(_script("requeue.lua"))
        self._number = 0

    def register(self) -> None:
        """Make the parking known, and give back what an earlier connection of ours left in it."""
        owner = Owner(machine_id(), os.getpid(), process_started(os.getpid()))
        self._client.hset(REGISTRY_KEY, self.key, json.dumps(owner))
        self.give_back()

    def take(
        self,
        lists: Sequence[str],
        *,
        queues: int,
        most: int,
        acknowledged: Sequence[str],
        popped: tuple[bytes, bytes] | None = None,
    ) -> list[Taken]:
        """Take messages and acknowledge others, in one step.

        Args:
            lists: The lists of all queues, priority by priority.
            queues: How many queues these lists belong to.
            most: Messages at the most, beside the one that was popped.
            acknowledged: Tags of messages that are done with.
            popped: A list and a message that was taken from it already.
        """
        first = self._number
        self._number += most + 1
        key, body = popped or (b"", b"")
        found = self._fetch(
            keys=[self.key, *lists],
            args=[most, queues, f"{self._nonce}-", first, key, body, *acknowledged],
        )
        texts = iter(found)
        return [
            Taken(tag.decode(), key.decode(), body)
            for tag, key, body in zip(texts, texts, texts, strict=True)
        ]

    def acknowledge(self, tags: Sequence[str]) -> None:
        """Forget messages that are done with."""
        self._client.hdel(self.key, *tags)

    def give_back(self, tags: Sequence[str] = (), *, is_next: bool = True) -> int:
        """Put messages back into their lists; no tags means all that is parked."""
        return int(self._requeue(keys=[self.key], args=["first" if is_next else "last", *tags]))

    def close(self) -> None:
        """Close the connections; what is parked stays parked."""
        self._client.connection_pool.disconnect()


_nonce: tuple[int, str] = (0, "")


def _nonce_of_process() -> str:
    # One for each process, whatever it was forked from: what a lost connection of ours had parked
    # is found again by the next one.
    global _nonce
    if _nonce[0] != os.getpid():
        _nonce = (os.getpid(), secrets.token_hex(8))
    return _nonce[1]


def parkings(client: Any) -> dict[str, Owner]:
    """Return every parking with its owner."""
    return {
        key.decode(): Owner(*json.loads(owner))
        for key, owner in client.hgetall(REGISTRY_KEY).items()
    }


def give_back_all(client: Any, key: str) -> int:
    """Give back everything in the parking of a dead process, and forget the parking."""
    count = client.register_script(_script("requeue.lua"))(keys=[key], args=["first"])
    client.hdel(REGISTRY_KEY, key)
    return int(count)
