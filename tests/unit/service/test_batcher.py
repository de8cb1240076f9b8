from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest

from celeriac.errors import AcceptQueueFullError, LedgerUnavailableError
from celeriac.service.batcher import Batcher, Latecomers, NotYetError


class Desk:
    """Work that waits at a gate and remembers its lots."""

    def __init__(self) -> None:
        self.lots: list[list[str]] = []
        # Weight of what it lets join when its gate opens.
        self.most_late = 0
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def __call__(
        self, items: Sequence[str], latecomers: Latecomers[str]
    ) -> Sequence[str | Exception]:
        self.lots.append(list(items))
        self.began.release()
        assert self.gate.acquire(timeout=20)
        items = [*items, *latecomers(self.most_late)]
        self.lots[-1] = items
        if "away" in items:
            raise LedgerUnavailableError("gone")
        return [ValueError(each) if each == "bad" else each.upper() for each in items]

    def wait_for_lot(self) -> None:
        assert self.began.acquire(timeout=20)

    def go_on(self, turns: int = 1) -> None:
        self.gate.release(turns)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def batcher(desk: Desk) -> Iterator[Batcher[str, str]]:
    batcher: Batcher[str, str] = Batcher("test", desk, most=4, room=6)
    yield batcher
    desk.go_on(100)
    batcher.close()


def answer(future: Future[str]) -> str:
    return future.result(timeout=20)


def test_a_lone_item_waits_for_nobody(batcher: Batcher[str, str], desk: Desk) -> None:
    desk.go_on()

    assert answer(batcher.put("a")) == "A"
    assert desk.lots == [["a"]]


def test_what_gathers_while_a_lot_is_done_is_the_next_lot(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    first = batcher.put("a")
    desk.wait_for_lot()
    others = [batcher.put(each) for each in "bcd"]
    desk.go_on(2)

    assert [answer(each) for each in (first, *others)] == ["A", "B", "C", "D"]
    assert desk.lots == [["a"], ["b", "c", "d"]]


def test_a_lot_has_its_most_and_what_is_heavier_goes_alone(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    batcher.put("a")
    desk.wait_for_lot()
    futures = [batcher.put("b"), batcher.put("heavy", weight=5)]
    desk.go_on(10)
    [answer(each) for each in futures]
    last = [batcher.put(each, weight=2) for each in "cde"]
    [answer(each) for each in last]

    assert desk.lots[1:3] == [["b"], ["heavy"]]
    assert all(len(lot) <= 2 for lot in desk.lots)


def test_one_too_many_is_refused_and_nothing_of_it_is_done(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    batcher.put("a")
    desk.wait_for_lot()
    waiting = [batcher.put(each, weight=2) for each in "bcd"]

    with pytest.raises(AcceptQueueFullError):
        batcher.put("e")
    desk.go_on(10)

    assert [answer(each) for each in waiting] == ["B", "C", "D"]
    assert answer(batcher.put("f")) == "F"
    assert "e" not in [item for lot in desk.lots for item in lot]


def test_what_is_heavier_than_all_the_room_is_done_when_nothing_else_waits(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    desk.go_on()

    assert answer(batcher.put("a", weight=100)) == "A"


def test_a_bad_item_fails_alone(batcher: Batcher[str, str], desk: Desk) -> None:
    batcher.put("a")
    desk.wait_for_lot()
    bad, good = batcher.put("bad"), batcher.put("b")
    desk.go_on(2)

    with pytest.raises(ValueError, match="bad"):
        answer(bad)
    assert answer(good) == "B"


def test_what_fails_a_whole_lot_fails_each_of_it_and_none_of_the_next(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    batcher.put("a")
    desk.wait_for_lot()
    together = [batcher.put("away"), batcher.put("b")]
    desk.go_on(2)

    for each in together:
        with pytest.raises(LedgerUnavailableError):
            answer(each)
    desk.go_on()
    assert answer(batcher.put("c")) == "C"


def test_what_comes_while_a_lot_waits_may_join_it_and_makes_room(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    desk.most_late = 3
    futures = [batcher.put("a")]
    desk.wait_for_lot()
    futures += [batcher.put(each, weight=2) for each in "bcd"]
    with pytest.raises(AcceptQueueFullError):
        batcher.put("e")

    desk.go_on()
    desk.wait_for_lot()
    futures += [batcher.put("e", weight=4)]
    desk.go_on(2)

    assert [answer(each) for each in futures] == ["A", "B", "C", "D", "E"]
    # No more than it asked for: "c" would have been too much.
    assert desk.lots == [["a", "b"], ["c", "d"], ["e"]]


def test_what_fails_a_lot_fails_those_who_joined_it(batcher: Batcher[str, str], desk: Desk) -> None:
    desk.most_late = 9
    futures = [batcher.put("away")]
    desk.wait_for_lot()
    futures += [batcher.put("b")]
    desk.go_on()

    for each in futures:
        with pytest.raises(LedgerUnavailableError):
            answer(each)


def test_an_item_that_cannot_be_done_yet_comes_again() -> None:
    lots: list[list[str]] = []

    def work(items: Sequence[str], _: Latecomers[str]) -> Sequence[str | Exception]:
        lots.append(list(items))
        return [NotYetError() if len(lots) < 3 else each for each in items]

    batcher: Batcher[str, str] = Batcher("test", work, most=4, room=6)

    assert answer(batcher.put("a")) == "a"
    assert lots == [["a"]] * 3
    batcher.close()


def test_closing_does_what_waits_and_takes_nothing_more(
    batcher: Batcher[str, str], desk: Desk
) -> None:
    futures = [batcher.put(each, weight=2) for each in "abc"]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    desk.go_on(10)
    closing.join(20)

    assert [future.done() for future in futures] == [True] * 3
    assert [answer(each) for each in futures] == ["A", "B", "C"]
    with pytest.raises(AcceptQueueFullError):
        batcher.put("d")


def test_closing_what_never_began_is_nothing(batcher: Batcher[str, str]) -> None:
    batcher.close()
