"""A server in Flower's place that keeps what it is asked and answers what it is told to."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """One answer after another, each over a connection of its own."""

    def __init__(self, answer: bytes = OK, *, is_mute: bool = False) -> None:
        # What is sent for each request, byte by byte as it stands.
        self.answer = answer
        # Takes requests and says nothing.
        self.is_mute = is_mute
        # Kept until set: what follows `answer` is sent then.
        self.rest = b""
        self.go_on = threading.Event()
        self.requests: list[str] = []
        self.hung_up = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://celeriac:secret@127.0.0.1:{self.port}/flower"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Wakes `accept`, which closing alone does not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.go_on.set()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    @property
    def last(self) -> str:
        """The last request's head, in lower case."""
        return self.requests[-1].partition("\r\n\r\n")[0].lower()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        said = connection.recv(262_144).decode("latin-1")
        self.requests.append(said)
        if self.is_mute:
            self.go_on.wait(10)
            return
        try:
            connection.sendall(self.answer)
            if self.rest:
                self.go_on.wait(10)
                connection.sendall(self.rest)
            elif connection.recv(1) == b"":
                self.hung_up.set()
        except OSError:
            self.hung_up.set()
