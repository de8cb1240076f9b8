"""The channel: kombu's Redis channel, taking many messages at a time."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import ResponseError

from celeriac.engine.transport.element import READING_ERRORS, is_message, read_element
from celeriac.engine.transport.message import ParkedMessage
from celeriac.engine.transport.parking import Parking, Taken
from celeriac.engine.transport.qos import ParkingQoS

logger = logging.getLogger(__name__)

# Messages of one fetch at the most: a script keeps everybody else waiting.
_MOST_AT_ONCE = 250
# Fetches in a row at the most: the event loop has other things to do, too.
_MOST_FETCHES = 4
# With a window that is more than half full there is no fetch sooner after the last one.
_FETCH_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# A broker that does not answer for so long is taken for gone, unless the user says otherwise.
# Without a limit a cut line would hold the worker's main thread for a quarter of an hour.
_SOCKET_SECONDS = 10.0


class ParkingMixin:
    """Takes messages in batches; mixed into kombu's Redis channels."""

    QoS = ParkingQoS
    Message = ParkedMessage
    # Kombu's: the connection that waits in BRPOP, or None.
    _in_poll: Any
    _closing: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Queues whose messages nobody acknowledges: replies of remote control.
        self._unacknowledged: set[str] = set()
        self._parking: Parking | None = None
        # The last fetch left something in the lists.
        self._has_more = False
        self._fetched_at = 0.0
        self._paused_until = 0.0
        self._pauses = 0
        super().__init__(*args, **kwargs)
        # Kombu's own, without parking, when `ack_emulation` is switched off.
        self.QoS = ParkingQoS

    @property
    def parking(self) -> Parking:
        """Where this channel keeps what it has taken."""
        return self._parking or self._open_parking()

    # ---- kombu's side

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
        """Consume from a queue."""
        if no_ack:
            self._unacknowledged.add(queue)
        else:
            self._unacknowledged.discard(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)  # type: ignore[misc]

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        """Return one message, None when there is none."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)  # type: ignore[misc]
        if no_ack and message is not None:
            self.parking.acknowledge([message.delivery_tag])
        return message

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        while taken := self._take([queue], most=1):
            message = self._read(taken[0])
            if message is not None:
                return message
            self._put_aside(queue, [taken[0].body], tags=[taken[0].tag])
        raise Empty

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002
        found = super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]
        # The blocking pop is answered within its own time.
        longest = max(_SOCKET_SECONDS, 2.0 * self.connection.brpop_timeout)  # type: ignore[attr-defined]
        for name in ("socket_timeout", "socket_connect_timeout"):
            if found.get(name, ...) is None:
                found[name] = longest
        return found

    def _brpop_start(self, timeout: float | None = None) -> None:
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            if self._has_loop:
                return
            # Whoever waits without an event loop would wait for ever with no pop under way.
            time.sleep(min(pause, 1.0))
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        if not self._guarded(self._prepare) and self._has_loop:
            return
        if self._has_loop and not self._fetch_more(qos):
            return
        # Nobody wakes this connection for an acknowledgement: they go out before it waits.
        if not self._guarded(qos.flush) and self._has_loop:
            return
        super()._brpop_start(timeout)  # type: ignore[misc]

    def _brpop_read(self, **options: Any) -> bool:
        client = self.client  # type: ignore[attr-defined]
        try:
            reply = client.parse_response(client.connection, "BRPOP", **options)
        except self.connection_errors as error:  # type: ignore[attr-defined]
            if isinstance(error, ResponseError):
                self._pause(error)
                raise Empty from error
            client.connection.disconnect()
            if self._closing:
                raise Empty from error
            raise
        except ResponseError as error:
            # READONLY, MISCONF, LOADING, out of memory: the broker is there and cannot serve now.
            # Celery would end the worker.
            self._pause(error)
            raise Empty from error
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()  # type: ignore[attr-defined]
        if not reply:
            raise Empty
        key, body = reply[0].decode(), reply[1]
        queue = self._queue_of(key)
        self._queue_cycle.rotate(queue)  # type: ignore[attr-defined]
        if queue in self._unacknowledged:
            return self._deliver_all([Taken("", key, body)])
        return self._fetch((key, body))

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)  # type: ignore[misc]
        except READING_ERRORS as error:
            if isinstance(error, self.connection_errors) and not isinstance(error, KeyError):  # type: ignore[attr-defined]
                raise
            logger.warning("a broken broadcast was dropped", extra={"error": type(error).__name__})
            raise Empty from error

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
        if not is_message(message):
            raise ValueError(exchange)
        return super()._deliver_fanout_message(message, exchange)  # type: ignore[misc]

    def close(self) -> None:
        """Give back what was taken and not acknowledged, and close; also without a broker."""
        try:
            super().close()  # type: ignore[misc]
        except self.connection_errors:  # type: ignore[attr-defined]
            # Kombu says good-bye to the broker before it takes the channel from the connection; a
            # channel that is left there would pass for one that still delivers what it has parked.
            self._disconnect_pools()  # type: ignore[attr-defined]
            self._close_clients()  # type: ignore[attr-defined]
            virtual.Channel.close(self)  # type: ignore[arg-type]
        finally:
            # Not before: the pop that was under way may have taken one more.
            self.give_back()
            parking, self._parking = self._parking, None
            if parking is not None:
                parking.close()

    # ---- our side

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
            self.qos.flush()  # type: ignore[attr-defined]
            parking.end()
        except (*self.connection_errors, ResponseError) as error:  # type: ignore[attr-defined]
            # The next channel of this process gives it back, or the janitor without us.
            logger.debug("messages stay parked", extra={"error": type(error).__name__})

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
        for queue in dict.fromkeys(self._queue_of(each.list) for each in taken):
            self._queue_cycle.rotate(queue)  # type: ignore[attr-defined]
        return self._deliver_all(taken)

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

    def _deliver_all(self, taken: Sequence[Taken]) -> bool:
        """Deliver messages; whether there was any."""
        broken: dict[str, list[Taken]] = {}
        for place, each in enumerate(taken):
            queue = self._queue_of(each.list)
            message = self._read(each)
            if message is None:
                broken.setdefault(queue, []).append(each)
                continue
            try:
                self._deliver(queue, message, each)
            except BaseException:
                # Whoever reads on from here shall find those that nobody has seen yet.
                self._give_back_undelivered(taken[place + 1 :])
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

    def _deliver(self, queue: str, message: Any, taken: Taken) -> None:
        transport = self.connection  # type: ignore[attr-defined]
        if taken.tag and queue not in transport._callbacks:  # noqa: SLF001 - kombu has no public word for it
            # Its consumer was cancelled meanwhile.
            self.parking.give_back([taken.tag])
            return
        transport._deliver(message, queue)  # noqa: SLF001 - kombu has no public word for it

    def _give_back_undelivered(self, rest: Sequence[Taken]) -> None:
        tags = [each.tag for each in rest if each.tag]
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


class Channel(ParkingMixin, kombu_redis.Channel):
    """A channel to one Redis or Valkey."""


class SentinelChannel(ParkingMixin, kombu_redis.SentinelChannel):
    """A channel to the Redis that the sentinels name."""
