"""A line between a client and a server that can go dead without either of them being told."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit


class Line:
    """Passes bytes on between whoever connects to it and a server on this machine.

    A dead connection stays open and carries nothing any more: what is left of one when a firewall
    has forgotten it, or a cable was pulled.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._passing: dict[socket.socket, socket.socket] = {}
        self._dead: list[socket.socket] = []
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_ending = True
        self._thread.join()
        for each in (*self._passing, *self._dead, self._listener):
            each.close()
        self._selector.close()

    def url(self, url: str) -> str:
        """Return a server's URL as it reads at this end of the line."""
        parts = urlsplit(url)
        return urlunsplit(
            parts._replace(netloc=parts.netloc.replace(str(parts.port), str(self.port)))
        )

    def die(self) -> int:
        """Have every connection of the moment carry nothing any more; return how many there were.

        Those that are made from now on are whole.
        """
        with self._lock:
            for each in self._passing:
                self._selector.unregister(each)
            self._dead += self._passing
            count = len(self._passing) // 2
            self._passing.clear()
        return count

    def cut(self) -> None:
        """End every connection of the moment."""
        with self._lock:
            for each in self._passing:
                self._selector.unregister(each)
                each.close()
            self._passing.clear()

    def _run(self) -> None:
        while not self._is_ending:
            ready = self._selector.select(0.05)
            with self._lock:
                for key, _ in ready:
                    found: Any = key.fileobj
                    if found is self._listener:
                        self._connect()
                    elif found in self._passing:
                        self._pass_on(found)

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._passing[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, found: socket.socket) -> None:
        other = self._passing[found]
        with contextlib.suppress(OSError):
            if data := found.recv(65536):
                other.sendall(data)
                return
        for each in (found, other):
            self._selector.unregister(each)
            del self._passing[each]
            each.close()
