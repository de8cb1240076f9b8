"""How a channel hands on what it has taken: doorbells many at a time, other messages one by one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from celeriac.engine.transport.element import read_doorbell, read_element
from celeriac.engine.transport.message import ParkedMessage
from celeriac.engine.transport.parking import Parking, Taken

logger = logging.getLogger(__name__)


class Delivering:
    """Delivers messages to the consumers of their queues, and puts aside what is none."""

    # Kombu's: set while it closes.
    _closing: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # By queue: what kombu calls with a message, and the consumer behind that.
        self._consumed: dict[str, tuple[Any, Any]] = {}
        super().__init__(*args, **kwargs)

    @property
    def parking(self) -> Parking:
        """Where this channel keeps what it has taken."""
        raise NotImplementedError

    def _guarded(self, call: Callable[[], object]) -> bool:
        """Make a call that the broker may refuse; whether it did not."""
        raise NotImplementedError

    def _deliver_all(self, taken: Sequence[Taken]) -> bool:
        """Deliver messages; whether there was any."""
        broken: dict[str, list[Taken]] = {}
        rest = deque(taken)
        while rest:
            queue = self._queue_of(rest[0].list)
            doorbells = self._doorbells(queue, rest)
            try:
                if doorbells:
                    # A door for many: kombu's way for each of them costs as much as all else.
                    self._taker_of(queue)(doorbells)
                else:
                    self._deliver_one(queue, rest.popleft(), broken)
            except BaseException:
                # Whoever reads on from here shall find those that nobody has seen yet.
                self._give_back_undelivered(doorbells, rest)
                raise
            if self._closing:
                # With everything that is parked.
                return True
        for queue, elements in broken.items():
            self._put_aside(
                queue,
                [each.body for each in elements],
                tags=[each.tag for each in elements if each.tag],
            )
        return bool(taken)

    def _doorbells(self, queue: str, rest: deque[Taken]) -> deque[ParkedMessage]:
        """Take the first doorbells out of what is to be delivered, if they may go together."""
        found: deque[ParkedMessage] = deque()
        if self._taker_of(queue) is None:
            return found
        append, lies_in = self.qos.append, rest[0].list  # type: ignore[attr-defined]
        while rest and rest[0].list == lies_in and rest[0].tag:
            payload = read_doorbell(rest[0].body)
            if payload is None:
                break
            tag = payload["properties"]["delivery_tag"] = rest.popleft().tag
            message = ParkedMessage(payload, channel=self)
            append(message, tag)
            found.append(message)
        return found

    def _taker_of(self, queue: str) -> Any:
        """Return what takes many doorbells of a queue at a time; None if there is no such thing."""
        called, consumer = self._consumed.get(queue, (None, None))
        transport = self.connection  # type: ignore[attr-defined]
        if consumer is None or transport._callbacks.get(queue) is not called:  # noqa: SLF001 - kombu has no public word for it
            return None
        return getattr(consumer.on_message, "take_doorbells", None)

    def _deliver_one(self, queue: str, each: Taken, broken: dict[str, list[Taken]]) -> None:
        message = self._read(each)
        if message is None:
            broken.setdefault(queue, []).append(each)
        else:
            self._deliver(queue, message, each)

    def _deliver(self, queue: str, message: Any, taken: Taken) -> None:
        transport = self.connection  # type: ignore[attr-defined]
        if taken.tag and queue not in transport._callbacks:  # noqa: SLF001 - kombu has no public word for it
            # Its consumer was cancelled meanwhile.
            self.parking.give_back([taken.tag])
            return
        transport._deliver(message, queue)  # noqa: SLF001 - kombu has no public word for it

    def _give_back_undelivered(self, rung: Iterable[ParkedMessage], rest: Iterable[Taken]) -> None:
        unseen = [message.delivery_tag for message in rung]
        for tag in unseen:
            self.qos.forget(tag)  # type: ignore[attr-defined]
        tags = [*unseen, *(each.tag for each in rest if each.tag)]
        if not tags or self._closing:
            return
        try:
            self.parking.give_back(tags)
        except (*self.connection_errors, ResponseError):  # type: ignore[attr-defined]
            logger.warning("messages stay parked", extra={"count": len(tags)})

    def _read(self, taken: Taken) -> Any | None:
        message = read_element(taken.body)
        if message is not None and taken.tag:
            message["properties"]["delivery_tag"] = taken.tag
        return message

    def _put_aside(self, queue: str, bodies: Sequence[bytes], *, tags: Sequence[str]) -> None:
        logger.error("broken messages were put aside", extra={"queue": queue, "count": len(bodies)})
        if not self._guarded(lambda: self.parking.put_aside(bodies, tags=tags)):
            # No room to keep them. What is parked is forgotten with the next batch.
            self.qos.put_back_done(list(tags))  # type: ignore[attr-defined]

    def _queue_of(self, key: str) -> str:
        return key.rsplit(self.sep, 1)[0]  # type: ignore[attr-defined]
