"""Whether a server answers, asked without waiting for it."""

from __future__ import annotations

import socket

_CONNECT_SECONDS = 1.0


class Question:
    """Asks a server whether it is ready, for as long as it takes.

    Its socket may listen long before it does: then the question waits there as any other request,
    and is the first that is answered.
    """

    def __init__(self, host: str, port: int, path: str) -> None:
        self._address = (host, port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        self._connection: socket.socket | None = None
        self._asked: int | None = None
        self._said = b""

    def is_answered_ok(self, pid: int) -> bool:
        """Return whether a process has answered 200 by now; asks again after any other answer.

        Args:
            pid: The id of the process. What was asked of another one is asked again: it may have
                answered before it ended.
        """
        if pid != self._asked:
            self.drop()
            self._asked = pid
        try:
            if self._connection is None:
                self._connection = self._ask()
            more = self._connection.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            self.drop()
            return False
        self._said += more
        if more and b"\r\n" not in self._said:
            return False
        is_ok = self._said.split()[1:2] == [b"200"]
        self.drop()
        return is_ok

    def drop(self) -> None:
        """Ask no longer."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._said = None, b""

    def _ask(self) -> socket.socket:
        connection = socket.create_connection(self._address, _CONNECT_SECONDS)
        try:
            connection.sendall(self._request.encode())
            connection.settimeout(0)
        except OSError:
            connection.close()
            raise
        return connection
