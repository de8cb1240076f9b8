"""One request to Flower, and its answer as it comes.

Spoken with h11 over a socket of its own: nothing is added to a request, unpacked, followed or kept,
so that what Flower gets and what a browser gets is exactly what stands in this room.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import h11

from celeriac.web.refusals import BusyError, FlowerAwayError, FlowerBrokenError

Headers = Sequence[tuple[bytes, bytes]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Flower serves from one thread: more than this would only wait there.
MOST_AT_ONCE = 32
# More than a list of all that Flower keeps (100,000 tasks).
MOST_ANSWER_BYTES = 128 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 3.0
# Flower asks its workers before some of its pages, a second for each question.
_SILENCE = timedelta(seconds=30)


class Upstream:
    """Where Flower listens, and the password it asks for."""

    def __init__(self, url: str, *, silence: timedelta = _SILENCE) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_tls else 80)
        self._silence_seconds = silence.total_seconds()
        self._at_once = 0
        host = parts.netloc.rpartition("@")[2]
        self._own = [(b"Host", host.encode()), (b"Connection", b"close")]
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._own.append((b"Authorization", b"Basic " + b64encode(pair.encode())))

    async def ask(self, method: str, target: bytes, *, headers: Headers, body: bytes) -> Answer:
        """Send a request and return its answer, whose body is still to come; close it in any case.

        Args:
            method: As it came.
            target: The path and the query, as they came.
            headers: What goes with it beside the password; the body's length is added.
            body: All of it.

        Raises:
            FlowerAwayError: Nobody listens there, or nobody answers in time.
            FlowerBrokenError: What comes is no answer.
            BusyError: Too many ask at this moment.
        """
        if self._at_once >= MOST_AT_ONCE:
            raise BusyError
        self._at_once += 1
        try:
            streams = await self._connect()
        except BaseException:
            self._note_closed()
            raise
        answer = Answer(streams, silence_seconds=self._silence_seconds, closed=self._note_closed)
        sent = [*self._own, *headers]
        if body or method == "POST":
            sent.append((b"Content-Length", str(len(body)).encode()))
        try:
            await answer.begin(h11.Request(method=method, target=target, headers=sent), body)
        except BaseException:
            answer.close()
            raise
        return answer

    async def _connect(self) -> Streams:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await asyncio.open_connection(
                    self._host, self._port, ssl=self._is_tls or None
                )
        except OSError as error:
            # A connection that took too long, too: TimeoutError is an OSError.
            raise FlowerAwayError(type(error).__name__) from error

    def _note_closed(self) -> None:
        self._at_once -= 1


class Answer:
    """What Flower answers."""

    def __init__(
        self, streams: Streams, *, silence_seconds: float, closed: Callable[[], None]
    ) -> None:
        self._reader, self._writer = streams
        self._silence_seconds = silence_seconds
        self._closed = closed
        self._is_open = True
        self._talk = h11.Connection(h11.CLIENT)
        self.status = 0
        # Names in lower case, in order.
        self.headers: tuple[tuple[str, str], ...] = ()

    async def begin(self, request: h11.Request, body: bytes) -> None:
        """Send the request and read the answer's head.

        Raises:
            FlowerAwayError: Nobody answers in time.
            FlowerBrokenError: What comes is no answer.
        """
        said = self._talk.send(request) or b""
        if body:
            said += self._talk.send(h11.Data(data=body)) or b""
        said += self._talk.send(h11.EndOfMessage()) or b""
        self._writer.write(said)
        head = await self._next()
        while isinstance(head, h11.InformationalResponse):
            head = await self._next()
        if not isinstance(head, h11.Response):
            raise FlowerBrokenError
        self.status = head.status_code
        self.headers = tuple(
            (name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it comes.

        Raises:
            FlowerAwayError: It came to a halt.
            FlowerBrokenError: It is cut off, or far too large.
        """
        total = 0
        while isinstance(event := await self._next(), h11.Data):
            total += len(event.data)
            if total > MOST_ANSWER_BYTES:
                raise FlowerBrokenError
            yield bytes(event.data)

    async def read(self, *, most_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            FlowerAwayError: It came to a halt.
            FlowerBrokenError: It is cut off, or larger than it may be.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > most_bytes:
                raise FlowerBrokenError
        return bytes(body)

    def close(self) -> None:
        """Let go of the connection, whether the body was read or not."""
        if self._is_open:
            self._is_open = False
            self._writer.transport.abort()
            self._closed()

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._talk.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(self._silence_seconds):
                    self._talk.receive_data(await self._reader.read(_CHUNK_BYTES))
        except h11.RemoteProtocolError as error:
            raise FlowerBrokenError from error
        except OSError as error:
            raise FlowerAwayError(type(error).__name__) from error
        # Only the sentinel that asks for more data is handled above.
        return event  # type: ignore[return-value]
