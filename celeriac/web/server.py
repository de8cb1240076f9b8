"""The server of the HTTP service, on sockets that somebody else holds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

import uvicorn

# How long a request may be on its way that was sent before the server was seen to end: a connection
# is taken before it is read, and one that is kept open may just be used again.
_ON_THE_WAY_SECONDS = 0.1
_LAST_ANSWER = (b"connection", b"close")


class Server(uvicorn.Server):
    """uvicorn, ending without cutting anybody off who has just asked.

    uvicorn closes the connections on which it sees no request at once. Whoever connects next is not
    refused either, as long as somebody holds the socket: that one waits for the next server.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, answer what is asked on those there are, and end."""
        for server in self.servers:
            server.close()
        state = self.server_state
        state.default_headers = [*state.default_headers, _LAST_ANSWER]
        await asyncio.sleep(_ON_THE_WAY_SECONDS)
        await super().shutdown(sockets)


def inherited_sockets(numbers: Iterable[int]) -> list[socket.socket]:
    """Return sockets that this process was started with, by their numbers.

    Nothing that this process starts inherits them again.
    """
    found = []
    for number in numbers:
        as_it_is = socket.socket(fileno=number)
        # Not every system says which protocol it is, and without it every answer would wait for
        # more to send along with it.
        each = socket.socket(
            as_it_is.family, as_it_is.type, socket.IPPROTO_TCP, fileno=as_it_is.detach()
        )
        each.set_inheritable(False)
        found.append(each)
    return found
