"""Being told at once that the service is to end.

A server waits for its open answers before it tells the app to end, and a stream of events is an
answer without an end: each would wait for the other. So the signal that ends the server is heard
here first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


@contextmanager
def told_of_the_end(tell: Callable[[], None]) -> Iterator[None]:
    """Have something called when a signal asks this process to end, before whoever else hears it.

    Only the main thread may ask for signals; elsewhere nothing is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        tell()
        before[number](number, frame)

    for number in _ENDING:
        handler = signal.getsignal(number)
        # Without one of its own the process ends by the signal, and with it every stream.
        if callable(handler):
            before[number] = handler
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
