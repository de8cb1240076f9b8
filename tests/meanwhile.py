"""What is done again and again while a test does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def meanwhile(do: Callable[[], None], *, pause_seconds: float) -> Iterator[None]:
    """Do something again and again, in a thread of its own, for as long as the block lasts.

    Raises:
        Exception: What it raised; after that it was not done again.
    """
    is_over = threading.Event()

    def do_on() -> None:
        while not is_over.wait(pause_seconds):
            do()

    with ThreadPoolExecutor(1) as threads:
        doing = threads.submit(do_on)
        try:
            yield
        finally:
            is_over.set()
        doing.result()
