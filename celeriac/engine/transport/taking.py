"""How a channel takes messages: many at a time, parked in the step that pops them."""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

import redis
from redis.exceptions import ResponseError

from celeriac.engine.transport.delivering import Delivering
from celeriac.engine.transport.element import read_doorbell
from celeriac.engine.transport.parking import FOREIGN_DEPTH, Parking, Taken
from celeriac.engine.transport.qos import ParkingQoS

logger = logging.getLogger(__name__)

# Messages of one fetch at the most: a script keeps everybody else waiting.
_MOST_AT_ONCE = 250
# Fetches in a row at the most: the event loop has other things to do, too.
_MOST_FETCHES = 4
# With a window that is more than half full there is no fetch sooner after the last one.
_FETCH_SECONDS = 0.05
# How long a lone doorbell that was delivered may go without being parked.
_LATE_SECONDS = 0.02
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Taking(Delivering):
    """Pops messages in batches, parks them in the same step, and delivers them.

    One half of a channel: kombu's Redis channel has to be the other one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Queues whose messages nobody acknowledges: replies of remote control.
        self._unacknowledged: set[str] = set()
        # What was delivered and is to be parked if it is not done with soon.
        self._late: Taken | None = None
        self._parking: Parking | None = None
        # The last fetch left something in the lists.
        self._has_more = False
        self._fetched_at = 0.0
        # Where the search for what is no doorbell goes on.
        self._foreign_at = 0
        self._paused_until = 0.0
        self._pauses = 0
        super().__init__(*args, **kwargs)

    @property
    def parking(self) -> Parking:
        """Where this channel keeps what it has taken."""
        return self._parking or self._open_parking()

    def plain_client(self) -> redis.Redis:
        """Return a client that takes names as they are, on connections that never wait in BRPOP.

        Kombu's own puts the prefix before some names of a script only.
        """
        return redis.Redis(connection_pool=self.pool)  # type: ignore[attr-defined]

    def give_back(self) -> None:
        """Give back everything that was taken and not acknowledged."""
        parking = self._parking
        if parking is None:
            return
        try:
            self.park_late()
            self.qos.flush()  # type: ignore[attr-defined]
            parking.end()
        except (*self.connection_errors, ResponseError) as error:  # type: ignore[attr-defined]
            # The next channel of this process gives it back, or the janitor without us.
            logger.debug("messages stay parked", extra={"error": type(error).__name__})

    def take_foreign(self, most: int) -> bool:
        """Take and deliver what is no doorbell, although there is no room for doorbells.

        Returns:
            Whether there was any: there may be more.
        """
        if self._closing or self.qos.can_consume():  # type: ignore[attr-defined]
            # What there is room for comes in its order.
            self._foreign_at = 0
            return False
        lists = [
            self._q_for_pri(queue, priority)  # type: ignore[attr-defined]
            for queue in self.active_queues  # type: ignore[attr-defined]
            if queue not in self._unacknowledged
            for priority in self.priority_steps  # type: ignore[attr-defined]
        ]
        if not lists or time.monotonic() < self._paused_until:
            return False
        try:
            taken, is_more = self.parking.take_foreign(lists, most=most, offset=self._foreign_at)
        except ResponseError as error:
            self._pause(error)
            return False
        if not taken:
            self._foreign_at = self._foreign_at + FOREIGN_DEPTH if is_more else 0
        return self._deliver_all(taken)

    def flush_acknowledgements(self) -> None:
        """Tell the broker what is done with; called now and then by the event loop."""
        if self._parking is not None:
            self._guarded(self.qos.flush)  # type: ignore[attr-defined]

    @property
    def _prefix(self) -> str:
        return str(self.global_keyprefix)  # type: ignore[attr-defined]

    @property
    def _has_loop(self) -> bool:
        return bool(self.connection.has_loop)  # type: ignore[attr-defined]

    def _prepare(self) -> None:
        """Have the parking open before the first pop of what will be parked."""
        if self._parking is None and not self._unacknowledged.issuperset(self.active_queues):  # type: ignore[attr-defined]
            self._open_parking()

    def _open_parking(self) -> Parking:
        """Make this channel's parking, once what earlier channels had parked is given back.

        Before the first pop and not with the first message: on a quiet queue that one may be what
        an earlier channel holds.
        """
        channel = weakref.ref(self)
        parking = Parking(
            self.plain_client(), prefix=self._prefix, is_used=lambda: _is_used(channel())
        )
        parking.give_back_lost()
        self._parking = parking
        return parking

    def _fetch_more(self, qos: ParkingQoS) -> bool:
        """Take what the last fetch left; whether to wait for more now."""
        for _ in range(_MOST_FETCHES):
            if not self._has_more or not qos.can_consume():
                break
            if not self._is_worth_a_fetch(qos):
                return False
            self._fetch(None)
        return bool(qos.can_consume()) and time.monotonic() >= self._paused_until

    def _is_worth_a_fetch(self, qos: ParkingQoS) -> bool:
        room = qos.can_consume_max_estimate()
        # A fetch for each message that is done with would be a round trip for each message.
        return (
            not room
            or room * 2 >= qos.prefetch_count
            or time.monotonic() - self._fetched_at >= _FETCH_SECONDS
        )

    def _fetch(self, popped: tuple[str, bytes] | None) -> bool:
        """Take what there is room for and deliver it; whether there was anything."""
        room = self.qos.can_consume_max_estimate()  # type: ignore[attr-defined]
        most = _MOST_AT_ONCE if room is None else min(room, _MOST_AT_ONCE)
        if popped or self._closing:
            most = 0 if self._closing else max(most - 1, 0)
        queues = [
            queue
            for queue in self._queue_cycle.consume(len(self.active_queues))  # type: ignore[attr-defined]
            if queue not in self._unacknowledged
        ]
        self._has_more = False
        if popped is not None and self._deliver_at_once(*popped):
            return True
        try:
            taken = self._take(queues, most=most, popped=popped)
        except BaseException as error:
            # What is popped and cannot be parked is delivered all the same: should this process
            # die now, the ledger has the task rung again.
            if popped is not None and not self._closing:
                self._deliver_all([Taken("", *popped)])
            if not isinstance(error, ResponseError):
                raise
            self._pause(error)
            return popped is not None
        if self._closing:
            # Parked, to be given back with everything else.
            raise Empty
        self._pauses = 0
        self._fetched_at = time.monotonic()
        self._has_more = len(taken) - (1 if popped else 0) >= most > 0
        # Who was served first is served last the next time.
        lists = dict.fromkeys(each.list for each in taken)
        for queue in dict.fromkeys(map(self._queue_of, lists)):
            self._queue_cycle.rotate(queue)  # type: ignore[attr-defined]
        return self._deliver_all(taken)

    def _deliver_at_once(self, name: str, body: bytes) -> bool:
        """Deliver a lone doorbell that was popped, and park it a little later; whether it was one.

        On an idle worker its task begins within a few milliseconds, and then it need not be parked
        at all. Should the process be killed before either, the doorbell is lost, as it is between
        a pop and its answer: the ledger has the task rung for again.
        """
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        # With an event loop this thread alone acknowledges.
        if not self._has_loop or self._closing or self._taker_of(self._queue_of(name)) is None:
            return False
        if self._late is not None:
            # Others came close behind: from now on in batches, until nothing more comes.
            self.park_late()
            return False
        if read_doorbell(body) is None:
            return False
        late = self._late = Taken(self.parking.reserve(), name, body)
        qos.unparked = late.tag
        self.connection.call_later(_LATE_SECONDS, self.park_late)  # type: ignore[attr-defined]
        try:
            self._deliver_all([late])
        except BaseException:
            # Seen, and who knows what became of it: parked, it comes again with the next channel.
            self.park_late()
            raise
        return True

    def park_late(self) -> None:
        """Park what was delivered before it was parked, unless it is done with by now."""
        late, self._late = self._late, None
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        if late is None or qos.unparked != late.tag:
            return
        qos.unparked = ""
        # Not parked it is delivered all the same.
        with contextlib.suppress(*self.connection_errors, ResponseError):  # type: ignore[attr-defined]
            self.parking.park(late)

    def _take(
        self, queues: Sequence[str], *, most: int, popped: tuple[str, bytes] | None = None
    ) -> list[Taken]:
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        lists = [
            self._q_for_pri(queue, priority)  # type: ignore[attr-defined]
            for priority in self.priority_steps  # type: ignore[attr-defined]
            for queue in queues
        ]
        done = qos.take_done()
        try:
            return self.parking.take(
                lists, queues=max(len(queues), 1), most=most, acknowledged=done, popped=popped
            )
        except BaseException:
            qos.put_back_done(done)
            raise

    def _guarded(self, call: Callable[[], object]) -> bool:
        """Make a call that the broker may refuse; whether it did not."""
        try:
            call()
        except ResponseError as error:
            self._pause(error)
            return False
        return True

    def _pause(self, error: Exception) -> None:
        pause = min(_FIRST_PAUSE_SECONDS * 2.0**self._pauses, _LONGEST_PAUSE_SECONDS)
        self._pauses = min(self._pauses + 1, 10)
        self._paused_until = time.monotonic() + pause
        logger.warning(
            "the broker refuses to serve; tried again in a moment",
            extra={"error": str(error).partition(" ")[0], "pause_seconds": pause},
        )


def _is_used(channel: Any) -> bool:
    # Kombu drops a lost connection without closing its channels.
    return (
        channel is not None
        and not channel.closed
        and channel.connection is not None
        and channel.connection.client is not None
    )
