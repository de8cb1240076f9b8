"""Somebody who asks a service all the time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.meanwhile import meanwhile

_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


class Asker:
    """Asks for `/healthz`, on a new connection each time, and keeps in mind how that went."""

    def __init__(self, port: int) -> None:
        self._port = port
        # What went wrong, in words; and how long each answer took, in seconds.
        self.troubles: list[str] = []
        self.took: list[float] = []

    def ask(self) -> None:
        """Ask once."""
        began = time.monotonic()
        try:
            status = self._status()
        except (OSError, http.client.HTTPException) as error:
            self.troubles.append(repr(error))
        else:
            if status != http.client.OK:
                self.troubles.append(f"answered {status}")
        self.took.append(time.monotonic() - began)

    def _status(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


@contextmanager
def asking(port: int) -> Iterator[Asker]:
    """Ask again and again for as long as the block lasts."""
    asker = Asker(port)
    with meanwhile(asker.ask, pause_seconds=_PAUSE_SECONDS):
        yield asker
