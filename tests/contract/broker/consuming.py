"""A consumer with an event loop as a worker has it, and messages as plain producers send them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from kombu.asynchronous import Hub
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from celeriac.engine.transport import transport
from tests.servers.valkey import ValkeyServer

Json = dict[str, Any]

transport.install()
# Kombu's own, for whoever knows nothing of ours.
STOCK = "kombu.transport.redis:Transport"
# How kombu calls the lists of one queue, the first to be served first.
STEPS = {0: "", 3: "\x06\x163", 6: "\x06\x166", 9: "\x06\x169"}


def make_message(number: Any = 0, **changes: Any) -> Json:
    """Return a message as a plain Celery producer would send it, with something in it changed."""
    message: Json = {
        "body": base64.b64encode(json.dumps([[number], {}, {}]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "add", "id": f"task-{number}", "lang": "py"},
        "properties": {
            "correlation_id": f"task-{number}",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": f"of the producer {number}",
        },
    }
    for name, value in changes.items():
        message[name] = {**message[name], **value} if isinstance(value, dict) else value
    return message


def fill(valkey: ValkeyServer, count: int, *, queue: str = "default", first: int = 0) -> None:
    """Put numbered messages into a list."""
    messages = [json.dumps(make_message(number)) for number in range(first, first + count)]
    valkey.client().lpush(queue, *messages)


def number_of(element: Any) -> Any:
    """Return the number of a message that lies in a list."""
    body = json.loads(element)["body"]
    return json.loads(base64.b64decode(body))[0][0]


def lying(valkey: ValkeyServer, queue: str = "default") -> list[Any]:
    """Return the numbers of the messages in a list, the first to be taken first."""
    elements: Any = valkey.client().lrange(queue, 0, -1)
    return [number_of(each) for each in reversed(elements)]


def parked(valkey: ValkeyServer) -> int:
    """Return how many messages are parked, over all channels."""
    client: Any = valkey.client()
    return sum(client.hlen(key) for key in client.keys("*celeriac:parked:*"))


@contextmanager
def commands(valkey: ValkeyServer) -> Iterator[list[str]]:
    """Give the commands that clients send meanwhile, by their names; filled at the end."""
    found: list[str] = []
    with valkey.client().monitor() as monitor:
        yield found
        valkey.client().echo("the end")
        while (each := monitor.next_command())["command"] != "ECHO the end":
            if each["client_type"] != "lua":
                found.append(each["command"].partition(" ")[0])


class Consuming:
    """Takes messages and keeps them until the test is done with them."""

    def __init__(
        self,
        url: str,
        *queues: str,
        prefetch: int = 0,
        no_ack: bool = False,
        on_message: Callable[[Any], object] | None = None,
        kind: type[Consumer] = Consumer,
        **options: Any,
    ) -> None:
        self.messages: list[Any] = []
        self.hub = Hub()
        self.connection = Connection(url, transport_options=options)
        self.channel = self.connection.channel()
        self.consumer = kind(
            self.channel,
            [Queue(name) for name in queues or ("default",)],
            no_ack=no_ack,
            on_message=on_message or self.messages.append,
            accept=["json"],
        )
        if prefetch:
            self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()
        self.hub.propagate_errors = (Exception,)  # type: ignore[assignment]  # kombu's is empty
        self.connection.register_with_event_loop(self.hub)
        # A worker's loop is woken when a task has ended; this one looks around now and then.
        self.hub.call_repeatedly(0.02, lambda: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def numbers(self) -> list[Any]:
        """The numbers of what has been delivered and not been forgotten by the test."""
        return [message.payload[0][0] for message in self.messages]

    def run(self, until: Callable[[], object], *, seconds: float = 10) -> None:
        """Let the event loop run until something is so.

        Raises:
            AssertionError: It did not become so in time.
        """
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, f"still not so; got {len(self.messages)}"
            self.hub.run_once()

    def take(self, count: int) -> list[Any]:
        """Return the numbers of that many messages, when they are there."""
        self.run(lambda: len(self.messages) >= count)
        return self.numbers

    def idle(self, seconds: float = 0.3) -> None:
        """Let the event loop run for a while."""
        end = time.monotonic() + seconds
        self.hub.call_later(seconds, lambda: None)
        while time.monotonic() < end:
            self.hub.run_once()

    def acknowledge(self) -> None:
        """Be done with everything that was delivered."""
        done, self.messages[:] = self.messages[:], []
        for message in done:
            message.ack()

    def close(self) -> None:
        """Close the connection, as a worker does that goes home."""
        self.connection.release()
        self.hub.close()
