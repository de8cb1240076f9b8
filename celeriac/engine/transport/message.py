"""A message as kombu hands it on, made of what the channel has read already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.transport import virtual

from celeriac.engine.doorbell import CONTENT_TYPE, EMPTY_BODY


class ParkedMessage(virtual.Message):
    """Kombu's message, whose body is not looked at when it is a doorbell."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        if payload.get("content-type") != CONTENT_TYPE:
            super().__init__(payload, channel=channel, **kwargs)
            return
        properties = payload["properties"]
        self._raw = payload
        self._state = "RECEIVED"
        self._decoded_cache = None
        self.accept = None
        self.channel = channel
        self.content_type = CONTENT_TYPE
        self.content_encoding = "utf-8"
        self.body = EMPTY_BODY
        self.properties = properties
        self.headers = payload["headers"]
        self.delivery_tag = properties["delivery_tag"]
        self.delivery_info = properties["delivery_info"]


def acknowledge_all(messages: Iterable[ParkedMessage]) -> None:
    """Be done with messages, each as by its own `ack`, and with all of them in one go."""
    tags: dict[Any, list[str]] = {}
    for message in messages:
        if not message.acknowledged:
            message._state = "ACK"  # noqa: SLF001 - what kombu's own `ack` does, for many
            tags.setdefault(message.channel, []).append(message.delivery_tag)
    for channel, those in tags.items():
        channel.qos.ack_all(those)
