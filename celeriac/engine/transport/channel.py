"""The channel: kombu's Redis channel, taking many messages at a time."""

from __future__ import annotations

import binascii
import contextlib
import logging
import time
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import loads
from redis.exceptions import ResponseError

from celeriac.engine.transport.parking import Parking, Taken

logger = logging.getLogger(__name__)

# Messages of one fetch at the most: a script keeps everybody else waiting.
_MOST_AT_ONCE = 250
_REJECTS_KEY = "celeriac:rejects"
_MOST_REJECTS = 1000
# A body that is larger than this is no doorbell and no message of a sane producer.
_LARGEST_BYTES = 8 * 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class ParkingQoS(kombu_redis.QoS):
    """What is unacknowledged: parked already when it is delivered, acknowledged in batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: list[str] = []

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take note of a delivered message; it is parked since it was taken."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Have a message forgotten with the next batch."""
        self._done.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        """Give a message back, behind the others of its list, or have it forgotten."""
        if requeue:
            self.channel.parking.give_back([delivery_tag], is_next=False)
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back everything that was delivered and not acknowledged."""
        self.flush()
        self.channel.parking.give_back()
        self._delivered.clear()

    def take_done(self) -> list[str]:
        """Return the tags of what is done with, once."""
        done, self._done = self._done, []
        return done

    def put_back_done(self, tags: list[str]) -> None:
        """Keep tags that could not be told to the broker."""
        self._done = [*tags, *self._done]

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


class ParkingMixin:
    """Takes messages in batches; mixed into kombu's Redis channels."""

    QoS = ParkingQoS
    # Kombu's: the connection that waits in BRPOP, or None.
    _in_poll: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Queues whose messages nobody acknowledges: replies of remote control.
        self._unacknowledged: set[str] = set()
        self._parking: Parking | None = None
        # The last fetch left something in the lists.
        self._has_more = False
        self._paused_until = 0.0
        self._pauses = 0
        super().__init__(*args, **kwargs)

    @property
    def parking(self) -> Parking:
        """Where this process keeps what it has taken."""
        if self._parking is None:
            # A client with connections of its own: the consuming one waits in BRPOP.
            parking = Parking(self._create_client())  # type: ignore[attr-defined]
            parking.register()
            self._parking = parking
        return self._parking

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
        """Consume from a queue."""
        if no_ack:
            self._unacknowledged.add(queue)
        else:
            self._unacknowledged.discard(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)  # type: ignore[misc]

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() < self._paused_until:
            return
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        while self._has_more and qos.can_consume():
            if not self._is_worth_a_fetch(qos):
                return
            self._fetch(None)
        if not qos.can_consume():
            return
        # Nobody wakes this connection for an acknowledgement: they go out before it waits.
        if not self._guarded(qos.flush):
            return
        super()._brpop_start(timeout)  # type: ignore[misc]

    def _is_worth_a_fetch(self, qos: ParkingQoS) -> bool:
        room = qos.can_consume_max_estimate()
        # A fetch for each message that is done with would be a round trip for each message.
        return not room or room * 2 >= qos.prefetch_count

    def _brpop_read(self, **options: Any) -> bool:
        client = self.client  # type: ignore[attr-defined]
        try:
            reply = client.parse_response(client.connection, "BRPOP", **options)
        except self.connection_errors as error:  # type: ignore[attr-defined]
            if isinstance(error, ResponseError):
                self._pause(error)
                raise Empty from error
            client.connection.disconnect()
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
        key, body = reply
        queue = self._queue_of(key.decode())
        self._queue_cycle.rotate(queue)  # type: ignore[attr-defined]
        if queue in self._unacknowledged:
            return self._deliver(queue, body, tag=None)
        return self._fetch((key, body))

    def _fetch(self, popped: tuple[bytes, bytes] | None) -> bool:
        """Take what there is room for and deliver it; whether there was anything."""
        qos: ParkingQoS = self.qos  # type: ignore[attr-defined]
        room = qos.can_consume_max_estimate() or _MOST_AT_ONCE
        most = min(room, _MOST_AT_ONCE) - (1 if popped else 0)
        queues = [
            queue
            for queue in self._queue_cycle.consume(len(self.active_queues))  # type: ignore[attr-defined]
            if queue not in self._unacknowledged
        ]
        lists = [
            self._q_for_pri(queue, priority)  # type: ignore[attr-defined]
            for priority in self.priority_steps  # type: ignore[attr-defined]
            for queue in queues
        ]
        done = qos.take_done()
        try:
            taken = self.parking.take(
                lists,
                queues=max(len(queues), 1),
                most=most,
                acknowledged=done,
                popped=popped,
            )
        except ResponseError as error:
            qos.put_back_done(done)
            self._pause(error)
            # It is popped and cannot be parked. Delivered all the same: should this process die
            # now, the ledger has the task rung again.
            return popped is not None and self._deliver(
                self._queue_of(popped[0].decode()), popped[1], tag=None
            )
        except BaseException:
            qos.put_back_done(done)
            raise
        self._pauses = 0
        self._has_more = len(taken) - (1 if popped else 0) >= most > 0
        for each in taken:
            self._deliver_parked(each)
        return bool(taken)

    def _deliver_parked(self, taken: Taken) -> None:
        if not self._deliver(self._queue_of(taken.list), taken.body, tag=taken.tag):
            self.parking.acknowledge([taken.tag])

    def _deliver(self, queue: str, body: bytes, *, tag: str | None) -> bool:
        """Deliver one message; False when it is none."""
        message = self._read(body)
        if message is None:
            self._refuse(queue, body)
            return False
        if tag is not None:
            message["properties"]["delivery_tag"] = tag
        self.connection._deliver(message, queue)  # type: ignore[attr-defined]  # noqa: SLF001
        return True

    def _read(self, body: bytes) -> Any | None:
        """Return what lay in a list as kombu's message, None when it is none."""
        if len(body) > _LARGEST_BYTES:
            return None
        try:
            message = loads(body.decode())
            properties = message["properties"]
            self.decode_body(message["body"], properties.get("body_encoding"))  # type: ignore[attr-defined]
        except (ValueError, KeyError, TypeError, AttributeError, LookupError, RecursionError,
                binascii.Error):  # fmt: skip
            return None
        headers = message.get("headers")
        is_sound = (
            isinstance(headers, dict)
            and isinstance(properties.get("delivery_info"), dict)
            and isinstance(properties.get("delivery_tag"), str)
            # Unpacked, a few bytes could fill the memory.
            and not headers.get("compression")
        )
        return message if is_sound else None

    def _refuse(self, queue: str, body: bytes) -> None:
        logger.error("a broken message was put aside", extra={"queue": queue, "bytes": len(body)})
        client = self._create_client()  # type: ignore[attr-defined]
        with client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(_REJECTS_KEY, body[:65536])
            pipeline.ltrim(_REJECTS_KEY, 0, _MOST_REJECTS - 1)
            pipeline.execute()

    def _queue_of(self, key: str) -> str:
        return key.rsplit(self.sep, 1)[0]  # type: ignore[attr-defined]

    def _guarded(self, call: Any) -> bool:
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

    def flush_acknowledgements(self) -> None:
        """Tell the broker what is done with; called now and then by the event loop."""
        if self._parking is not None:
            self._guarded(self.qos.flush)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Give back what was taken and not acknowledged, and close."""
        parking, errors = self._parking, self.connection_errors  # type: ignore[attr-defined]
        if parking is not None:
            with contextlib.suppress(*errors):
                self.flush_acknowledgements()
        super().close()  # type: ignore[misc]
        # Kombu has restored what was delivered. The parking stays known until the process is gone:
        # another channel of it may use it.
        if parking is not None:
            parking.close()


class Channel(ParkingMixin, kombu_redis.Channel):
    """A channel to one Redis or Valkey."""


class SentinelChannel(ParkingMixin, kombu_redis.SentinelChannel):
    """A channel to the Redis that the sentinels name."""


class _BatchedTransport:
    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the event loop read, and acknowledge now and then."""
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        cycle = self.cycle  # type: ignore[attr-defined]

        def flush() -> None:
            for channel in list(cycle._channels):  # noqa: SLF001 - kombu has no public word for it
                channel.flush_acknowledgements()

        earlier = getattr(cycle, "celeriac_flush_timer", None)
        if earlier is not None:
            earlier.cancel()
        cycle.celeriac_flush_timer = loop.call_repeatedly(0.5, flush)


class Transport(_BatchedTransport, kombu_redis.Transport):
    """`redis://` and `rediss://`."""

    Channel = Channel


class SentinelTransport(_BatchedTransport, kombu_redis.SentinelTransport):
    """`sentinel://`."""

    Channel = SentinelChannel


def install() -> None:
    """Have kombu use these for Redis, in this process."""
    from kombu import transport

    module = __name__
    transport.TRANSPORT_ALIASES.update(
        {
            "redis": f"{module}:Transport",
            "rediss": f"{module}:Transport",
            "sentinel": f"{module}:SentinelTransport",
        }
    )
    transport._transport_cache.clear()  # noqa: SLF001 - filled before an app module is imported
