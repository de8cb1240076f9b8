"""Chords that plain Celery producers send: each part tells the body, and Redis how many there are.

Celery's Redis backend writes a chord's size down before it sends the last part, and its workers
count there. Ours count in the ledger, so the parts wait for the size before they become rows: the
chord stands before the first of them can end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis

from celeriac.core.outcome import NewChord
from celeriac.core.task import NewTask
from celeriac.engine import codec
from celeriac.engine.broker import connect_to_results
from celeriac.engine.messages import placeholders
from celeriac.engine.transport.element import READING_ERRORS

logger = logging.getLogger(__name__)

# A header of its thousands is sent within seconds. Longer, and its producer has died of it.
_PATIENCE_SECONDS = 60.0
# A chord has fewer than ten million parts.
_MOST_DIGITS = 7
# The header of a row in which a part's place stands.
PLACE = "celeriac_part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A message with what it becomes."""

    message: Any
    # The task first, then what follows it in its chain.
    rows: tuple[NewTask, ...]
    # The chord of which the task is a part, as its message tells it; None of none.
    body: Mapping[str, Any] | None = None
    chord: NewChord | None = None

    @property
    def chord_id(self) -> str:
        """The id of its chord."""
        return str(self.rows[0].group_id)

    def counted(self, size: int, header: Any) -> Adopted:
        """Return it as a part of a chord of this size.

        Args:
            size: How many parts there are.
            header: The results of the header in the order and shape of the producer; None when
                the parts tell their places.
        """
        task, *rest = self.rows
        chord_id, body = self.chord_id, dict(self.body or {})
        kept = codec.load_typed(task.headers)
        kept[PLACE] = task.group_index or 0
        part = replace(
            task,
            headers=codec.dump_typed(kept),
            # By this its siblings are found. A part that a task sent has that one's id already.
            parent_id=task.parent_id or chord_id,
        )
        written = {"body": body, "header": header, "parent": part.parent_id}
        return replace(
            self,
            rows=(part, *rest, *placeholders(body, upstream_id=chord_id, queue=task.queue)),
            chord=NewChord(
                id=chord_id, size=size, body=codec.dump_typed(written), queue=task.queue
            ),
        )

    def alone(self) -> Adopted:
        """Return it without its chord."""
        task, *rest = self.rows
        kept = {k: v for k, v in codec.load_typed(task.headers).items() if k != "chord"}
        task = replace(task, chord_id=None, headers=codec.dump_typed(kept))
        return replace(self, rows=(task, *rest), body=None)


class ForeignChords:
    """Holds parts of chords until it is known how many there are.

    Used in one thread.
    """

    def __init__(self, app: Any, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        url = str(app.conf.result_backend or "")
        self._url = url if url.startswith(("redis://", "rediss://")) else ""
        options = app.conf.result_backend_transport_options or {}
        self._prefix = _prefix(options.get("global_keyprefix") or "")
        self._monotonic = monotonic
        self._client: redis.Redis | None = None
        self._held: list[Adopted] = []
        # By chord, since when its parts have been here.
        self._since: dict[str, float] = {}

    @property
    def held(self) -> int:
        """How many parts wait."""
        return len(self._held)

    def settle(self, came: Iterable[Adopted]) -> list[Adopted]:
        """Return what can become rows now: of those that came, and of those that waited."""
        ready: list[Adopted] = []
        parts = self._held
        for each in came:
            (parts if each.body is not None else ready).append(each)
        self._held = []
        if not parts:
            return ready
        known = self._look({each.chord_id for each in parts})
        if known is None:
            # Time that nobody could tell anything in does not count.
            self._since.clear()
            self._held = parts
            return ready
        now = self._monotonic()
        for each in parts:
            size, header = known.get(each.chord_id, (0, None))
            since = self._since.setdefault(each.chord_id, now)
            if size:
                ready.append(_counted(each, size, header))
            elif self._url and now - since < _PATIENCE_SECONDS:
                self._held.append(each)
            else:
                ready.append(self._given_up(each))
        waiting = {each.chord_id for each in self._held}
        self._since = {key: since for key, since in self._since.items() if key in waiting}
        return ready

    def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _given_up(self, part: Adopted) -> Adopted:
        # Where results are not in Redis, Celery's own `chord_unlock` looks for the parts' results
        # and sends the body, here as anywhere.
        if self._url:
            logger.error(
                "the chord of a plain producer has no size: its body will not run",
                extra={"task_id": part.rows[0].id},
            )
        return part.alone()

    def _look(self, chord_ids: set[str]) -> dict[str, tuple[int, Any]] | None:
        """Return the sizes that are known, with the header where it was kept; None if nobody can.

        Celery keeps a header when something in it is more than a task.
        """
        if not self._url:
            return {}
        ids = sorted(chord_ids)
        keys = [f"{self._prefix}{each}{end}" for each in ids for end in (".s", "")]
        try:
            self._client = self._client or connect_to_results(self._url)
            found: Sequence[Any] = self._client.mget(keys)
        except (redis.RedisError, OSError) as error:
            logger.warning(
                "parts of a chord wait for Redis to tell its size",
                extra={"error": type(error).__name__},
            )
            return None
        pairs = zip(found[::2], found[1::2], strict=True)
        return {
            chord_id: (_size(size), _header(header))
            for chord_id, (size, header) in zip(ids, pairs, strict=True)
        }


def _counted(part: Adopted, size: int, header: Any) -> Adopted:
    try:
        return part.counted(size, header)
    except READING_ERRORS:
        # Whoever may write to the broker may write anything; other parts shall not suffer for it.
        logger.exception(
            "the chord of a plain producer cannot be read: its body will not run",
            extra={"task_id": part.rows[0].id},
        )
        return part.alone()


def _prefix(given: str) -> str:
    # As Celery's backends put them together (5.7, backends/base.py).
    between = "_" if given and given[-1] not in ":_-." else ""
    return f"{given}{between}celery-taskset-meta-"


def _size(text: bytes | None) -> int:
    is_sane = text is not None and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text or 0) if is_sane else 0


def _header(text: bytes | None) -> Any:
    try:
        return None if text is None else codec.load_typed(text.decode())["result"]
    except READING_ERRORS:
        return None
