from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.core.outcome import Ended
from celeriac.core.task import Doorbell, TaskId
from celeriac.engine.bells import Bells


class SlowBroker:
    """A broker that answers when it is let, and remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[str]]] = []
        self.is_let = threading.Event()
        self.is_asked = threading.Event()

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Hear of doorbells."""
        self._hear("ring", doorbells)

    def tell(self, ended: Sequence[Ended]) -> None:
        """Hear of ends."""
        self._hear("tell", ended)

    def show(self, progress: Sequence[tuple[TaskId, str]]) -> None:
        """Hear of progress."""
        self.heard.append(("show", [task_id for task_id, _ in progress]))

    def _hear(self, what: str, items: Sequence[Any]) -> None:
        if items:
            self.is_asked.set()
            assert self.is_let.wait(5.0)
            self.heard.append((what, [each.task_id for each in items]))


def _doorbell(task_id: str) -> Doorbell:
    return Doorbell(task_id=TaskId(task_id), name="add", queue="default", priority=5)


def _ended(task_id: str) -> Ended:
    return Ended(task_id=TaskId(task_id), state="completed")


def _started(broker: SlowBroker) -> Bells:
    bells = Bells(broker.ring, broker.tell, broker.show)
    bells.start()
    return bells


def test_what_a_task_says_of_itself_is_told_before_its_end() -> None:
    broker = SlowBroker()
    bells = _started(broker)

    bells.show([(TaskId("busy"), "{}")])
    bells.ring([], [_ended("busy")])
    broker.is_let.set()
    bells.stop(5.0)

    assert broker.heard == [("show", ["busy"]), ("tell", ["busy"])]


def test_waiters_are_told_before_doorbells_ring() -> None:
    broker = SlowBroker()
    broker.is_let.set()
    bells = _started(broker)

    bells.ring([_doorbell("next")], [_ended("done")])
    bells.stop(5.0)

    assert broker.heard == [("tell", ["done"]), ("ring", ["next"])]


def test_whoever_rings_never_waits_and_what_gathers_goes_at_once() -> None:
    broker = SlowBroker()
    bells = _started(broker)
    bells.ring([_doorbell("a")], [])
    assert broker.is_asked.wait(5.0)

    for each in "bcd":
        bells.ring([_doorbell(each)], [])
    broker.is_let.set()
    bells.stop(5.0)

    assert broker.heard == [("ring", ["a"]), ("ring", ["b", "c", "d"])]


def test_a_flood_is_rung_in_bites() -> None:
    broker = SlowBroker()
    bells = Bells(broker.ring, broker.tell, broker.show)
    broker.is_let.set()
    for number in range(1200):
        bells.ring([_doorbell(str(number))], [])

    bells.start()
    bells.stop(5.0)

    rung = [ids for _, ids in broker.heard]
    assert [len(ids) for ids in rung] == [501, 501, 198]
    assert [each for ids in rung for each in ids] == [str(number) for number in range(1200)]


def test_what_cannot_be_said_does_not_silence_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = SlowBroker()
    broker.is_let.set()

    def fail(ended: Sequence[Ended]) -> None:
        if ended:
            raise RuntimeError("of a kind that nobody expects")

    bells = Bells(broker.ring, fail, broker.show)
    bells.start()

    bells.ring([_doorbell("a")], [_ended("done")])
    bells.ring([_doorbell("b")], [])
    bells.stop(5.0)

    assert [each for _, ids in broker.heard for each in ids] == ["a", "b"]
    assert "the broker was not told" in caplog.text


def test_stopping_does_not_wait_longer_than_it_may() -> None:
    broker = SlowBroker()
    bells = _started(broker)
    bells.ring([_doorbell("a")], [])
    assert broker.is_asked.wait(5.0)

    bells.stop(0.01)

    assert broker.heard == []
    broker.is_let.set()
    bells.stop(5.0)


def test_bells_that_never_started_can_be_stopped() -> None:
    broker = SlowBroker()

    Bells(broker.ring, broker.tell, broker.show).stop(1.0)

    assert broker.heard == []
