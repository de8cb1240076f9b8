"""What a channel has delivered and is not yet done with."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import ResponseError


class ParkingQoS(kombu_redis.QoS):
    """What is unacknowledged: parked already when it is delivered, acknowledged in batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Filled by whatever thread is done with a message.
        self._done: deque[str] = deque()
        # The tag of what is delivered and not parked yet.
        self.unparked = ""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take note of a delivered message; it is parked since it was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def forget(self, delivery_tag: str) -> None:
        """Take it that a message was not delivered after all."""
        self._delivered.pop(delivery_tag, None)

    def ack(self, delivery_tag: str) -> None:
        """Have a message forgotten with the next batch."""
        self.ack_all([delivery_tag])

    def ack_all(self, delivery_tags: Sequence[str]) -> None:
        """Have messages forgotten with the next batch; one that is parked nowhere, at once."""
        self._dirty.update(delivery_tags)
        if self.unparked in delivery_tags:
            delivery_tags = [tag for tag in delivery_tags if tag != self.unparked]
            self.unparked = ""
        self._done.extend(delivery_tags)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """Give a message back, behind the others of its list, or have it forgotten."""
        if not requeue:
            self.ack(delivery_tag)
        elif not self.channel.closed:
            # A closed channel has given it back already.
            if delivery_tag == self.unparked:
                self.channel.park_late()
            self.channel.parking.give_back([delivery_tag], is_next=False)
            virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back everything that was delivered and not acknowledged."""
        if not self.channel.closed:
            # A channel that closes does so when it has taken its last message.
            self.channel.give_back()
        self._delivered.clear()
        self._dirty.clear()

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Give back what stock workers took long ago and never acknowledged."""
        try:
            super().restore_visible(*args, **kwargs)
        except ResponseError:
            # The broker cannot write now. It is asked again soon; Celery would end the worker.
            return

    def take_done(self) -> list[str]:
        """Return the tags of what is done with, once."""
        return [self._done.popleft() for _ in range(len(self._done))]

    def put_back_done(self, tags: list[str]) -> None:
        """Keep tags that could not be told to the broker."""
        self._done.extendleft(reversed(tags))

    def flush(self) -> None:
        """Have everything forgotten that is done with."""
        done = self.take_done()
        if not done:
            return
        try:
            self.channel.parking.acknowledge(done)
        except BaseException:
            self.put_back_done(done)
            raise
