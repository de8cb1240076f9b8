"""Somebody who asks a service all the time."""

from __future__ import annotations

import http.client
import threading
import time
from types import TracebackType
from typing import Self

_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


class Asker:
    """Asks for `/healthz` on a new connection, again and again, until it is told to stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)
        # What went wrong, in words; and how long each answer took, in seconds.
        self.troubles: list[str] = []
        self.took: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask_on(self) -> None:
        while not self._is_over.wait(_PAUSE_SECONDS):
            began = time.monotonic()
            try:
                status = self._ask()
            except (OSError, http.client.HTTPException) as error:
                self.troubles.append(repr(error))
            else:
                if status != http.client.OK:
                    self.troubles.append(f"answered {status}")
            self.took.append(time.monotonic() - began)

    def _ask(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()
