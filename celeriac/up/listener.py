"""Where the service listens, held by us while its process comes and goes.

Who asks while no process answers waits in the system's own queue, and is found there by the next
process. When none will come soon, we answer ourselves: nobody waits for ever.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress

from celeriac.errors import ServiceStartingError

# A look answers no more than these: whoever asks without end is not to keep us from the programs.
_AT_A_LOOK = 256
_REQUEST_BYTES = 65536
_RETRY_AFTER_SECONDS = 2


class Listener:
    """Sockets that listen, and that the service's process inherits at each start."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        """Hold sockets.

        Args:
            sockets: Those that listen; none where the process has to listen by itself.
        """
        self.sockets = tuple(sockets)
        for each in self.sockets:
            each.settimeout(0)

    def refuse(self) -> None:
        """Tell everybody who waits by now that nobody will serve them."""
        for each in self.sockets:
            # There is nobody, or nobody any more.
            with suppress(OSError):
                for _ in range(_AT_A_LOOK):
                    connection, _ = each.accept()
                    _refuse(connection)

    def close(self) -> None:
        """Listen no longer; a process that inherited the sockets still may."""
        for each in self.sockets:
            each.close()


def _refuse(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.settimeout(0)
        with suppress(BlockingIOError):
            # What is closed with something unread in it is cut off, and the answer with it.
            connection.recv(_REQUEST_BYTES)
        connection.send(_answer())
        connection.shutdown(socket.SHUT_WR)


def _answer() -> bytes:
    error = ServiceStartingError()
    body = json.dumps(
        {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": str(error),
            "code": error.code,
            "fix": error.fix,
        }
    ).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"retry-after: {_RETRY_AFTER_SECONDS}",
        "cache-control: no-store",
        "connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + body
