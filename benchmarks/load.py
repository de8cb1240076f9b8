"""A load generator for HTTP that costs little beside the server it loads."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import uvloop


@dataclass(slots=True)
class Answers:
    """What came back."""

    seconds: float = 0
    # How long each answer took that accepted something, in milliseconds.
    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def per_second(self) -> float:
        """Accepted requests per second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return what so many percent of the answers did not exceed, in milliseconds."""
        return percentile(self.milliseconds, percent)


def percentile(values: list[float], percent: int) -> float:
    """Return what so many percent of the values do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def load(
    port: int,
    request: bytes,
    *,
    connections: int,
    seconds: float,
    pause_seconds: float = 0,
    is_over: Callable[[], bool] = lambda: False,
) -> Answers:
    """Send one request again and again over several connections.

    Args:
        port: Of the loopback.
        request: Head and body, as they go over the wire.
        connections: Each sends its next request when its last one is answered.
        seconds: How long.
        pause_seconds: How long a connection waits between two, on average.
        is_over: Asked now and then whether to end before, in a thread of its own: while it looks,
            answers come in and are timed.
    """
    answers = Answers()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(
                lambda: _Connection(request, answers, pause_seconds), "127.0.0.1", port
            )
            for _ in range(connections)
        ]
        began = time.monotonic()
        for _, connection in made:
            connection.send()
        while time.monotonic() < began + seconds and not await asyncio.to_thread(is_over):
            await asyncio.sleep(0.1)
        answers.seconds = time.monotonic() - began
        for transport, connection in made:
            connection.is_over = True
            transport.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return answers


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, answers: Answers, pause_seconds: float) -> None:
        self._request = request
        self._answers = answers
        self._pause_seconds = pause_seconds
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        if not self.is_over:
            self._sent_at = time.perf_counter()
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._received = b""
        if self.is_over:
            return
        if head.startswith((b"HTTP/1.1 20", b"HTTP/1.0 20")):
            self._answers.milliseconds.append((time.perf_counter() - self._sent_at) * 1000)
        else:
            self._answers.refused += 1
        if self._pause_seconds:
            pause = random.uniform(0, 2 * self._pause_seconds)  # noqa: S311 - no secret
            asyncio.get_running_loop().call_later(pause, self.send)
        else:
            self.send()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(head)


def post(path: str, body: bytes, *, token: str) -> bytes:
    """Return a POST with a JSON body as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
