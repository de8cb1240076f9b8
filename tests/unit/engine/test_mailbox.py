from __future__ import annotations

import selectors
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac.engine.pool.mailbox import Mailbox
from celeriac.engine.pool.wakeup import Wakeup


class Hub:
    """An event loop that calls what is readable."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add_reader(self, file: Any, call: Callable[..., None], *args: Any) -> None:
        self._selector.register(file, selectors.EVENT_READ, (call, args))

    def turn(self, seconds: float = 5.0) -> int:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            call, args = key.data
            call(*args)
        return len(ready)

    def close(self) -> None:
        self._selector.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def test_the_mailbox_makes_calls_in_the_order_of_posting(mailbox: Mailbox) -> None:
    made: list[int] = []
    for number in range(5):
        mailbox.post(made.append, number)

    mailbox.empty()

    assert made == [0, 1, 2, 3, 4]


def test_the_mailbox_wakes_an_event_loop_that_waits(mailbox: Mailbox, hub: Hub) -> None:
    made: list[str] = []
    mailbox.register(hub)
    poster = threading.Timer(0.02, mailbox.post, (made.append, "call"))
    poster.start()

    woken = hub.turn()

    assert woken == 1
    assert made == ["call"]
    poster.join()


def test_the_mailbox_leaves_the_loop_alone_when_it_is_empty(mailbox: Mailbox, hub: Hub) -> None:
    mailbox.register(hub)
    mailbox.post(lambda: None)
    hub.turn()

    assert hub.turn(0.0) == 0


def test_a_call_that_raises_does_not_keep_the_others_from_being_made(
    mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []
    mailbox.post(made.append)
    mailbox.post(made.append, "after")

    mailbox.empty()

    assert made == ["after"]
    assert "a call in the worker's main thread failed" in caplog.text


def test_a_call_may_post_another_one(mailbox: Mailbox) -> None:
    made: list[str] = []
    mailbox.post(mailbox.post, made.append, "posted by a call")

    mailbox.empty()

    assert made == ["posted by a call"]


def test_waiting_makes_what_is_posted_meanwhile_in_the_thread_that_waits(
    mailbox: Mailbox,
) -> None:
    threads: list[threading.Thread] = []
    poster = threading.Timer(
        0.02, mailbox.post, (lambda: threads.append(threading.current_thread()),)
    )
    poster.start()

    mailbox.wait_until(lambda: bool(threads))

    assert threads == [threading.current_thread()]
    poster.join()


def test_waiting_for_what_is_so_already_still_makes_the_calls(mailbox: Mailbox) -> None:
    made: list[str] = []
    mailbox.post(made.append, "call")

    mailbox.wait_until(lambda: True)

    assert made == ["call"]


def test_a_wakeup_takes_more_wakes_than_its_socket_holds_and_is_quiet_when_cleared(
    hub: Hub,
) -> None:
    wakeup = Wakeup()
    hub.add_reader(wakeup, wakeup.clear)
    for _ in range(5000):
        wakeup.wake()

    assert hub.turn() == 1
    assert hub.turn(0.0) == 0
    wakeup.close()


def test_a_wakeup_that_is_closed_wakes_nobody() -> None:
    wakeup = Wakeup()
    wakeup.close()

    wakeup.wake()

    assert wakeup.fileno() == -1
