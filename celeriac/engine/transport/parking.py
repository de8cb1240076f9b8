"""Where a channel keeps the messages it has taken and not acknowledged: a hash of its own.

A registry in the broker names every parking with the process it belongs to, so that the janitor
can give back what a dead process had. What a channel of a living process lost with its connection
is given back by the next channel of that process.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.identity import machine_id, process_started

REGISTRY_KEY = "celeriac:parkings"
REJECTS_KEY = "celeriac:rejects"
# How many messages were ever put aside.
REJECTED_KEY = "celeriac:rejected"
_PREFIX = "celeriac:parked:"
# How many messages of each list are looked at for one that is no doorbell, in one step.
FOREIGN_DEPTH = 1000
_MOST_REJECTS = 1000
_MOST_BYTES_OF_REJECT = 65536


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


def read_script(name: str) -> str:
    """Return the text of a script that the broker runs."""
    return resources.files(__package__).joinpath(name).read_text()


class Parking:
    """The parking of one channel."""

    def __init__(self, client: Any, *, prefix: str = "", is_used: Callable[[], bool]) -> None:
        """Make a parking; nothing is in the broker before the first message.

        Args:
            client: A client that takes names as they are.
            prefix: What every name in the broker begins with.
            is_used: Whether there still is somebody who delivers what is parked.
        """
        self._client = client
        self._prefix = prefix
        mine = _of_this_process()
        self._tag = f"{mine.nonce}-{next(mine.numbers)}-"
        self.key = f"{prefix}{_PREFIX}{self._tag[:-1]}"
        self._registry = f"{prefix}{REGISTRY_KEY}"
        self._owner = json.dumps(Owner(machine_id(), os.getpid(), process_started(os.getpid())))
        self._fetch = client.register_script(read_script("fetch.lua"))
        self._foreign = client.register_script(read_script("foreign.lua"))
        self._requeue = client.register_script(read_script("requeue.lua"))
        self._number = 0
        facts = client.connection_pool.connection_kwargs
        self._place = (facts.get("host"), facts.get("port"), facts.get("path"), facts.get("db"))
        mine.parkings[self.key] = (self._place, is_used)

    def reserve(self) -> str:
        """Return the tag for a message that is delivered first and parked by `park`, if at all."""
        self._number += 1
        return f"{self._tag}{self._number - 1}"

    def give_back_lost(self) -> None:
        """Give back what other channels of this process lost with their connections."""
        mine = _of_this_process()
        for key, (place, is_used) in list(mine.parkings.items()):
            if place == self._place and key != self.key and not is_used():
                self._give_up(key)

    def take(
        self,
        lists: Sequence[str],
        *,
        queues: int,
        most: int,
        acknowledged: Sequence[str] = (),
        popped: tuple[str, bytes] | None = None,
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
        names = [self._prefix + each for each in lists]
        found = self._call(names, first, (most, queues), popped or ("", b""), acknowledged)
        numbers = itertools.count(first)
        return [
            Taken(f"{self._tag}{next(numbers)}", name, body)
            for name, body in _cut(found, self._prefix)
        ]

    def park(self, taken: Taken, *, acknowledged: Sequence[str] = ()) -> None:
        """Park a message whose tag was reserved, and acknowledge others."""
        number = int(taken.tag.removeprefix(self._tag))
        self._call((), number, (0, 1), (taken.list, taken.body), acknowledged)

    def _call(
        self,
        names: Sequence[str],
        first: int,
        room: tuple[int, int],
        popped: tuple[str, bytes],
        acknowledged: Sequence[str],
    ) -> Any:
        name, body = popped
        return self._fetch(
            keys=[self.key, self._registry, *names],
            args=[
                *(*room, self._tag, first),
                *(self._prefix + name if name else "", body, self._owner),
                # One text: the client would make each of many ready to be sent.
                " ".join(acknowledged),
            ],
        )

    def take_foreign(
        self, lists: Sequence[str], *, most: int, offset: int
    ) -> tuple[list[Taken], bool]:
        """Take messages that are no doorbells, wherever they lie.

        Args:
            lists: Where to look.
            most: Messages at the most.
            offset: How many of each list, counted from the newest, are left out.

        Returns:
            The messages, and whether there is more behind what was looked at.
        """
        first = self._number
        self._number += most
        is_more, *found = self._foreign(
            keys=[self.key, self._registry, *(self._prefix + each for each in lists)],
            args=[most, self._tag, first, self._owner, CONTENT_TYPE, offset, FOREIGN_DEPTH],
        )
        texts = iter(found)
        taken = [
            Taken(tag.decode(), key.decode().removeprefix(self._prefix), body)
            for tag, key, body in zip(texts, texts, texts, strict=True)
        ]
        return taken, is_more == b"1"

    def acknowledge(self, tags: Sequence[str]) -> None:
        """Forget messages that are done with."""
        self._client.hdel(self.key, *tags)

    def put_aside(self, bodies: Sequence[bytes], *, tags: Sequence[str]) -> None:
        """Keep the newest of what is no message where somebody may look at it."""
        rejects = f"{self._prefix}{REJECTS_KEY}"
        with self._client.pipeline() as pipeline:
            pipeline.lpush(rejects, *(body[:_MOST_BYTES_OF_REJECT] for body in bodies))
            pipeline.ltrim(rejects, 0, _MOST_REJECTS - 1)
            pipeline.incrby(f"{self._prefix}{REJECTED_KEY}", len(bodies))
            if tags:
                pipeline.hdel(self.key, *tags)
            pipeline.execute()

    def give_back(self, tags: Sequence[str] = (), *, is_next: bool = True) -> int:
        """Put messages back into their lists; no tags means all that is parked."""
        return int(self._requeue(keys=[self.key], args=["first" if is_next else "last", *tags]))

    def end(self) -> None:
        """Give everything back and be forgotten."""
        self._give_up(self.key)

    def close(self) -> None:
        """Close the connections; what is parked stays parked."""
        self._client.connection_pool.disconnect()

    def _give_up(self, key: str) -> None:
        self._requeue(keys=[key], args=["first"])
        self._client.hdel(self._registry, key)
        _of_this_process().parkings.pop(key, None)


def _cut(found: Sequence[bytes], prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield the list and the body of each message that the script took."""
    texts = iter(found)
    for key, lengths, bodies in zip(texts, texts, texts, strict=True):
        name = key.decode().removeprefix(prefix)
        start = 0
        for length in lengths.split():
            end = start + int(length)
            yield name, bodies[start:end]
            start = end


class _Mine:
    """The parkings that this process has made and not given up."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.nonce = secrets.token_hex(8)
        self.numbers = itertools.count()
        # By key: which broker it is in, and whether its channel still delivers.
        self.parkings: dict[str, tuple[object, Callable[[], bool]]] = {}


_mine: _Mine | None = None


def _of_this_process() -> _Mine:
    # Whatever a process was forked from goes on using its own.
    global _mine
    if _mine is None or _mine.pid != os.getpid():
        _mine = _Mine()
    return _mine


def parkings(client: Any, *, prefix: str = "") -> dict[str, Owner]:
    """Return every parking with its owner."""
    return {
        key.decode(): Owner(*json.loads(owner))
        for key, owner in client.hgetall(f"{prefix}{REGISTRY_KEY}").items()
    }


def give_back_all(client: Any, key: str, *, prefix: str = "") -> int:
    """Give back everything in the parking of a dead process, and forget the parking."""
    count = client.register_script(read_script("requeue.lua"))(keys=[key], args=["first"])
    client.hdel(f"{prefix}{REGISTRY_KEY}", key)
    return int(count)
