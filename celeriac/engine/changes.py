"""Telling whoever watches that tasks changed: gathered for a moment, then one word for all.

A hint that is lost costs a viewer a little time; the ledger has the truth. So nothing here waits,
nothing grows, and nothing is said twice.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celeriac.core.change import Change
from celeriac.core.outcome import Ended
from celeriac.core.task import TaskId
from celeriac.engine.broker import broker_errors, connect_once, is_in_process, is_redis

logger = logging.getLogger(__name__)

CHANNEL = "celeriac:changes"
# How long changes are gathered: twenty words a second for a process, however many tasks it ends.
_GATHER_SECONDS = 0.05
# More than a page could show; further ones are only said to be there.
MOST_NAMED = 1000
# More than a process ends between two words of its own.
_MOST_ENDED = 1_000_000
_AWAY_SECONDS = 1.0
# How long a listener that is stopped goes on.
_LISTEN_SECONDS = 0.3

Hear = Callable[[Change], None]


class Changes:
    """The word of a process about its tasks, and its ear for that of all."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        # In the order in which they were first said.
        self._ids: dict[TaskId, None] = {}
        self._ended: Counter[str] = Counter()
        self._is_partial = False
        # Those who listen in this very process, for a broker that carries no such words.
        self._ears: list[Hear] = []

    def tell(self, task_ids: Iterable[TaskId], ended: Sequence[Ended] = ()) -> None:
        """Have it said that tasks changed; returns at once.

        Args:
            task_ids: Those that began, progressed, or were queued.
            ended: Those that ended.
        """
        with self._lock:
            for task_id in (*task_ids, *(each.task_id for each in ended)):
                if len(self._ids) >= MOST_NAMED:
                    self._is_partial = True
                    break
                self._ids[task_id] = None
            self._ended.update([each.state for each in ended])
            if self._thread is None and self._ids and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name="celeriac-changes", daemon=True
                )
                self._thread.start()
        self._news.set()

    def listen(self, hear: Hear, lose: Callable[[], None]) -> Listener:
        """Have every change of every process heard, until the listener is stopped.

        Args:
            hear: Called from another thread with each change; first with one that names none and
                is partial, when from now on nothing is missed.
            lose: Called when nothing will be heard for a while.
        """
        return Listener(self._app, hear, lose, self._ears)

    def close(self) -> None:
        """Say what is left to say, and end."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        self._news.set()
        if thread is not None:
            thread.join(2.0)

    def _run(self) -> None:
        voice = _Voice(self._app, self._ears)
        is_over = False
        while not is_over:
            self._news.wait()
            # Before it looks: a `close` that comes while it gathers is to be heard as well.
            self._news.clear()
            is_over = self._is_closed
            if not is_over:
                time.sleep(_GATHER_SECONDS)
            change = self._take()
            if change is not None and not voice.say(change):
                with self._lock:
                    self._is_partial = True
        voice.close()

    def _take(self) -> Change | None:
        with self._lock:
            if not self._ids:
                return None
            change = Change(
                task_ids=tuple(self._ids), ended=dict(self._ended), is_partial=self._is_partial
            )
            self._ids.clear()
            self._ended.clear()
            self._is_partial = False
        return change


class NoChanges:
    """The word of a process without a broker: its parent speaks for it."""

    def tell(self, task_ids: Iterable[TaskId], ended: Sequence[Ended] = ()) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Have nothing to close."""


class Listener:
    """A thread that hears every change of every process."""

    def __init__(self, app: Any, hear: Hear, lose: Callable[[], None], ears: list[Hear]) -> None:
        self._app = app
        self._hear = hear
        self._lose = lose
        self._ears = ears
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if is_redis(app):
            self._thread = threading.Thread(target=self._run, name="celeriac-ear", daemon=True)
            self._thread.start()
        elif is_in_process(app):
            ears.append(hear)
            hear(Change(is_partial=True))
        else:
            lose()

    def stop(self) -> None:
        """Hear nothing more."""
        self._stopping.set()
        if self._hear in self._ears:
            self._ears.remove(self._hear)
        if self._thread is not None:
            self._thread.join(_LISTEN_SECONDS + 5.0)

    def _run(self) -> None:
        connection = connect_once(self._app)
        while not self._stopping.is_set():
            try:
                self._follow(connection)
            except broker_errors(connection) as error:
                logger.warning(
                    "changes are not heard: the broker is away",
                    extra={"error": type(error).__name__},
                )
                self._lose()
                connection.release()
                connection = connect_once(self._app)
                self._stopping.wait(_AWAY_SECONDS)
        connection.release()

    def _follow(self, connection: Any) -> None:
        pubsub = connection.default_channel.client.pubsub()
        try:
            pubsub.subscribe(CHANNEL)
            while not self._stopping.is_set():
                message = pubsub.get_message(timeout=_LISTEN_SECONDS)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._hear(Change(is_partial=True))
                elif (change := read_change(message["data"])) is not None:
                    self._hear(change)
        finally:
            pubsub.close()


class _Voice:
    """Where changes are said: the broker, or the ears of this process."""

    def __init__(self, app: Any, ears: list[Hear]) -> None:
        self._app = app
        self._ears = ears
        self._is_redis = is_redis(app)
        self._connection: Any = None
        self._away_until = 0.0

    def say(self, change: Change) -> bool:
        """Say it; False when nobody could hear it."""
        if not self._is_redis:
            for hear in list(self._ears):
                hear(change)
            return True
        if time.monotonic() < self._away_until:
            return False
        try:
            self._connection = self._connection or connect_once(self._app)
            self._connection.default_channel.client.publish(CHANNEL, write_change(change))
        except broker_errors(self._connection or self._app.connection_for_write()):
            # The same outage is told of by those whose work it stops.
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def write_change(change: Change) -> str:
    """Return a change as it is said."""
    said = {"ids": change.task_ids, "ended": dict(change.ended), "partial": change.is_partial}
    return json.dumps(said, separators=(",", ":"))


def read_change(text: bytes | str) -> Change | None:
    """Return what was said; None when that is none of ours: whoever reaches the broker may talk."""
    try:
        said = json.loads(text)
        ids, ended = said["ids"], said["ended"]
        is_sound = all(isinstance(each, str) for each in ids) and all(
            isinstance(count, int) and 0 <= count <= _MOST_ENDED for count in ended.values()
        )
        if not is_sound or len(ids) > MOST_NAMED:
            return None
        return Change(
            task_ids=tuple(TaskId(each) for each in ids),
            ended=ended,
            is_partial=bool(said["partial"]),
        )
    # Brackets by the thousand are a RecursionError.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
