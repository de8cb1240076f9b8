"""A stream of events as an answer: it ends with its reader, with the service, or by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# How long a reader may take nothing at all before the stream is given up.
STALLED_SECONDS = 60.0


class EventStream(Response):
    """Frames of events, each made when the one before has left."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None], held: ExitStack) -> None:
        """Take the frames, and what is held until the last of them."""
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames until there are no more, or nobody reads them."""
        with self._held:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            pumping = asyncio.create_task(self._pump(send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait((pumping, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                pumping.cancel()
                # Both have ended when this is over: what they hold must not outlive it.
                await asyncio.wait((pumping, leaving))
            if not pumping.cancelled():
                # Raises what failed, for the log.
                pumping.result()

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._frames) as frames:
            async for frame in frames:
                with suppress(OSError):
                    async with asyncio.timeout(STALLED_SECONDS):
                        await send({"type": "http.response.body", "body": frame, "more_body": True})
                    continue
                # Stalled, or gone: a TimeoutError is an OSError.
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
