from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from celeriac.web.live.ending import told_of_the_end


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What a server that listens for a signal of its own heard, in order."""
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("server"))
    yield heard
    signal.signal(signal.SIGTERM, before)


def test_the_end_is_told_before_the_server_hears_of_it(heard: list[str]) -> None:
    with told_of_the_end(lambda: heard.append("streams")):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

    assert heard == ["streams", "server", "server"]


def test_a_handler_that_came_later_is_left_alone(heard: list[str]) -> None:
    with told_of_the_end(lambda: heard.append("streams")):
        signal.signal(signal.SIGTERM, lambda *_: heard.append("later"))
    signal.raise_signal(signal.SIGTERM)

    assert heard == ["later"]


def test_in_another_thread_nothing_is_changed(heard: list[str]) -> None:
    def serve() -> None:
        with told_of_the_end(lambda: heard.append("streams")):
            return

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    signal.raise_signal(signal.SIGTERM)

    assert heard == ["server"]
