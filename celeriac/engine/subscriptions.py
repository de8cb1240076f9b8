"""Connections on which processes wait for the ends of tasks, kept warm for whoever waits next.

To open one takes longer than most tasks that somebody waits for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Kept open while nobody waits: as many as may well wait at the same time.
_MOST_KEPT = 8
# Channels that a connection goes on listening to although nobody waits for them any more.
_MOST_LEFT = 50
# How long the broker may take to say that it listened.
_HEARD_SECONDS = 1.0


class Subscription:
    """A connection that listens on the channels of somebody who waits.

    And still on those of the last few who waited before, where nothing more is said: to leave each
    of them at once would be another word to the broker, and its answer, for every wait.
    """

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub
        self._wanted: frozenset[bytes] = frozenset()
        self._left: list[str] = []

    def listen(self, channels: Sequence[str]) -> None:
        """Listen on channels; when this returns, whatever is said there will be heard."""
        wanted = self._wanted = frozenset(each.encode() for each in channels)
        if len(self._left) > _MOST_LEFT:
            self._pubsub.unsubscribe(*self._left)
            self._left.clear()
        self._left += channels
        self._pubsub.subscribe(*channels)
        deadline = time.monotonic() + _HEARD_SECONDS
        heard: set[bytes] = set()
        while heard != wanted and (rest := deadline - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=rest)
            if message is not None and message["type"] == "subscribe":
                heard.add(message["channel"])

    def wait(self, seconds: float) -> bytes | None:
        """Return when something was said, or after so many seconds.

        Returns:
            What was said, to somebody who listens for one thing only.
        """
        deadline = time.monotonic() + seconds
        is_heard = False
        while True:
            rest = 0.0 if is_heard else max(0.0, deadline - time.monotonic())
            message = self._pubsub.get_message(timeout=rest)
            if message is None and (is_heard or time.monotonic() >= deadline):
                # What was said together is looked up together: whoever waits for a thousand tasks
                # shall not read the ledger for each of them.
                return None
            is_said = message is not None and message["type"] == "message"
            is_heard = is_heard or (is_said and message["channel"] in self._wanted)
            if is_heard and len(self._wanted) == 1:
                said: bytes = message["data"]
                return said

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the next one gets along with what it still listens to."""
        return len(self._wanted) <= _MOST_LEFT

    def close(self) -> None:
        """Close the connection."""
        self._pubsub.close()


class Subscriptions:
    """The subscriptions of a process; usable from any thread."""

    def __init__(self, create: Callable[[], Any], errors: Callable[[], Any]) -> None:
        """Prepare; nothing is connected.

        Args:
            create: Makes a `PubSub` of the broker's client.
            errors: Returns what is raised when the broker is away.
        """
        self._create = create
        self._errors = errors
        self._lock = threading.Lock()
        self._kept: list[Subscription] = []
        self._pid = os.getpid()

    @contextmanager
    def listening(self, channels: Sequence[str]) -> Iterator[Subscription | None]:
        """Give a subscription to channels; None when the broker is away."""
        subscription = self._subscribed(channels)
        try:
            yield subscription
        finally:
            if subscription is not None:
                self._put_back(subscription)

    def close(self) -> None:
        """Close those that are kept."""
        with self._lock:
            kept, self._kept = self._kept, []
        for each in kept:
            each.close()

    def _subscribed(self, channels: Sequence[str]) -> Subscription | None:
        kept = self._take()
        if kept is not None:
            try:
                kept.listen(channels)
            except self._errors():
                # It was cut off while nobody looked; the broker may be there all the same.
                kept.close()
            else:
                return kept
        try:
            made = Subscription(self._create())
            made.listen(channels)
        except self._errors():
            return None
        return made

    def _take(self) -> Subscription | None:
        with self._lock:
            if self._pid != os.getpid():
                # A fork's: what its parent listens to is the parent's.
                self._kept, self._pid = [], os.getpid()
            return self._kept.pop() if self._kept else None

    def _put_back(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription.is_worth_keeping and len(self._kept) < _MOST_KEPT:
                self._kept.append(subscription)
                return
        subscription.close()
