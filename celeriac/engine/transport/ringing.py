"""Writing doorbells into a broker's lists: many in one command, out of prepared messages.

All doorbells of a task function in one queue are alike but for the task's id. Kombu writes the
first one; of it the others are cut.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from kombu.utils.json import dumps

from celeriac.engine.doorbell import CONTENT_TYPE, EMPTY_BODY, headers_of

# Letters that stand in no message.
_ID = f"id-{secrets.token_hex(16)}"
_TAG = f"tag-{secrets.token_hex(16)}"
# Messages of one command at the most.
_MOST_AT_ONCE = 500
# Task functions and queues are few; ids of them that somebody makes up shall not fill the memory.
_MOST_PREPARED = 1000


class Bell(NamedTuple):
    """What a doorbell says beside the task's id, in the broker's words."""

    name: str
    queue: str
    priority: int


class Ringing:
    """Writes doorbells over one channel."""

    def __init__(self, channel: Any, *, origin: str) -> None:
        self._channel = channel
        # Kept: kombu makes a new one for each message, which takes longer than to write it.
        with channel.conn_or_acquire() as client:
            self._client = client
        self._origin = origin
        self._nonce = secrets.token_hex(8)
        self._numbers = itertools.count()
        # By what a doorbell says: the list it is written to, and the message, cut at its id and
        # its tag.
        self._prepared: dict[Bell, tuple[str, list[list[str]]]] = {}

    def ring(self, rung: Sequence[tuple[Bell, str]]) -> None:
        """Write a doorbell for each task's id, in their order."""
        lists: dict[str, list[str]] = {}
        for bell, task_id in rung:
            key, parts = self._prepared.get(bell) or self._prepare(bell)
            escaped = json.dumps(task_id)[1:-1]
            tag = f"{self._nonce}-{next(self._numbers)}"
            text = tag.join([escaped.join(part) for part in parts])
            lists.setdefault(key, []).append(text)
        commands = [
            (key, texts[start : start + _MOST_AT_ONCE])
            for key, texts in lists.items()
            for start in range(0, len(texts), _MOST_AT_ONCE)
        ]
        if len(commands) == 1:
            # To make a pipeline takes longer than to write thirty messages.
            ((key, texts),) = commands
            self._client.lpush(key, *texts)
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, texts in commands:
            pipeline.lpush(key, *texts)
        pipeline.execute()

    def _prepare(self, bell: Bell) -> tuple[str, list[list[str]]]:
        channel = self._channel
        message = channel.prepare_message(
            EMPTY_BODY,
            priority=bell.priority,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            headers=headers_of(_ID, bell.name, origin=self._origin),
            properties={"correlation_id": _ID, "reply_to": None, "delivery_mode": 2},
        )
        channel._inplace_augment_message(message, "", bell.queue)  # noqa: SLF001 - as kombu sends it
        message["properties"]["delivery_tag"] = _TAG
        priority = channel._get_message_priority(message, reverse=False)  # noqa: SLF001 - and where to
        parts = [part.split(_ID) for part in str(dumps(message)).split(_TAG)]
        if len(self._prepared) >= _MOST_PREPARED:
            self._prepared.clear()
        found = self._prepared[bell] = (channel._q_for_pri(bell.queue, priority), parts)  # noqa: SLF001
        return found
