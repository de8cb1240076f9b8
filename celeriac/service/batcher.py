"""Doing many things at once that were asked for one by one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from celeriac.errors import AcceptQueueFullError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


# Returns items that have come since the lot was made, of so much weight at the most.
Latecomers = Callable[[int], Sequence[Item]]


class NotYetError(Exception):
    """An item cannot be done now: it comes again in the next lot."""


# How long whoever stops the service waits for what is still to be done.
_DRAIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Item, Answer]):
    item: Item
    weight: int
    answer: Future[Answer]


class Batcher(Generic[Item, Answer]):
    """A thread that does whatever has gathered while it did the last lot.

    Nobody waits for company: a lone item is done at once, and the lots grow with the load. May be
    used from any thread; the thread begins with the first item.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item], Latecomers[Item]], Sequence[Answer | Exception]],
        *,
        most: int,
        room: int,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            name: The thread's, for people who look at it.
            work: Does a lot and returns for each item, in order, what became of it; NotYetError
                has it come again. What it raises becomes of all. It may call its second argument
                once for more items: they join the lot, behind the others.
            most: The weight of the items of one lot; one that is heavier goes alone.
            room: The weight of all that may wait.
        """
        self._name = name
        self._work = work
        self._most = most
        self._room = room
        self._waiting: deque[_Entry[Item, Answer]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def put(self, item: Item, *, weight: int = 1) -> Future[Answer]:
        """Have an item done; its answer comes when the lot is done.

        Raises:
            AcceptQueueFullError: Too much waits already, or no more is taken.
        """
        answer: Future[Answer] = Future()
        # It cannot be taken back: whoever gives up waiting leaves it to be done.
        answer.set_running_or_notify_cancel()
        with self._changed:
            # What is heavier than all the room is done when nothing else waits.
            is_full = self._weight > 0 and self._weight + weight > self._room
            if is_full or self._is_closing:
                raise AcceptQueueFullError
            self._waiting.append(_Entry(item, weight, answer))
            self._weight += weight
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Take nothing more, and return when everything that waits is done."""
        with self._changed:
            self._is_closing = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(_DRAIN_SECONDS)

    def _run(self) -> None:
        while lot := self._next():
            self._do(lot)

    def _next(self) -> list[_Entry[Item, Answer]]:
        """Wait for items and return a lot of them; an empty one when this is the end."""
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            lot: list[_Entry[Item, Answer]] = []
            if self._waiting:
                # Alone, if it is heavier than a lot.
                lot.append(self._waiting.popleft())
                self._weight -= lot[0].weight
                lot += self._take(self._most - lot[0].weight)
            return lot

    def _take(self, most: int) -> list[_Entry[Item, Answer]]:
        """Return what waits, of so much weight at the most; the lock is held."""
        taken: list[_Entry[Item, Answer]] = []
        while self._waiting and self._waiting[0].weight <= most:
            entry = self._waiting.popleft()
            most -= entry.weight
            self._weight -= entry.weight
            taken.append(entry)
        return taken

    def _do(self, lot: list[_Entry[Item, Answer]]) -> None:
        def latecomers(most: int) -> Sequence[Item]:
            with self._changed:
                late = self._take(most)
            lot.extend(late)
            return [entry.item for entry in late]

        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([entry.item for entry in lot], latecomers)
        except Exception as error:
            # It belongs to those who asked, each of them; the thread goes on for the next.
            answers = [error] * len(lot)
        for entry, answer in zip(lot, answers, strict=True):
            if isinstance(answer, NotYetError):
                self._put_back(entry)
            elif isinstance(answer, Exception):
                entry.answer.set_exception(answer)
            else:
                entry.answer.set_result(answer)

    def _put_back(self, entry: _Entry[Item, Answer]) -> None:
        with self._changed:
            self._waiting.append(entry)
            self._weight += entry.weight
