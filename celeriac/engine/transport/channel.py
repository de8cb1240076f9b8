"""The channel: kombu's Redis channel, taking many messages at a time."""

from __future__ import annotations

import logging
import time
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import OutOfMemoryError, ResponseError

from celeriac.engine.transport.element import READING_ERRORS, is_message
from celeriac.engine.transport.message import ParkedMessage
from celeriac.engine.transport.parking import Taken, read_script
from celeriac.engine.transport.qos import ParkingQoS
from celeriac.engine.transport.taking import Taking

logger = logging.getLogger(__name__)

# A broker that does not answer for so long is taken for gone, unless the user says otherwise.
# Without a limit a cut line would hold the worker's main thread for a quarter of an hour.
_SOCKET_SECONDS = 10.0


class ParkingMixin(Taking):
    """Has kombu's calls take messages in our way; mixed into its Redis channels."""

    QoS = ParkingQoS
    Message = ParkedMessage
    # Kombu's: the connection that waits in BRPOP, or None.
    _in_poll: Any
    # And since when.
    _brpop_sent_at: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Kombu's own, without parking, when `ack_emulation` is switched off.
        self.QoS = ParkingQoS

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
        """Consume from a queue."""
        if no_ack:
            self._unacknowledged.add(queue)
        else:
            self._unacknowledged.discard(queue)
        consumed = super().basic_consume(queue, no_ack, *args, **kwargs)  # type: ignore[misc]
        # Kombu keeps what it calls, and nobody would find the consumer behind that.
        callback = kwargs.get("callback") or (args[0] if args else None)
        self._consumed[queue] = (
            self.connection._callbacks[queue],  # type: ignore[attr-defined]  # noqa: SLF001 - no public word for it
            getattr(callback, "__self__", None),
        )
        return consumed

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

    def _size(self, queue: str) -> int:
        # Kombu asks in a transaction, which a Redis whose memory is full refuses.
        with (
            self.conn_or_acquire() as client,  # type: ignore[attr-defined]
            client.pipeline(transaction=False) as pipeline,
        ):
            for priority in self.priority_steps:  # type: ignore[attr-defined]
                pipeline.llen(self._q_for_pri(queue, priority))  # type: ignore[attr-defined]
            return sum(pipeline.execute())

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[misc]
        except ResponseError as error:
            # Redis 6 says it of a script as of any error in one.
            if not (isinstance(error, OutOfMemoryError) or "-OOM " in str(error)):
                raise
            # What fills the memory are messages, and a worker that could not start would never take
            # them out.
            if queue in self._expires:  # type: ignore[attr-defined]
                # Kombu makes these bindings again, every few seconds.
                return
            member = self.sep.join((routing_key or "", pattern or "", queue or ""))  # type: ignore[attr-defined]
            names = (self.keyprefix_queue, self.keyprefix_binding_permanent)  # type: ignore[attr-defined]
            bind = self.plain_client().register_script(read_script("bind.lua"))
            bind(keys=[f"{self._prefix}{name % (exchange,)}" for name in names], args=[member])

    def drop_silent_pop(self) -> None:
        """Let a connection go whose pop should have been answered long ago.

        No socket's timeout holds for the event loop, and nobody is told of a line that was silently
        cut. The pop that follows makes a new connection.
        """
        waiting, sent_at = self._in_poll, self._brpop_sent_at
        if not waiting or sent_at is None:
            return
        longest = self.brpop_timeout + self.pool.connection_kwargs["socket_timeout"]  # type: ignore[attr-defined]
        silent = time.monotonic() - sent_at
        # What has come, and was not read yet because this process is busy, is an answer.
        if silent < longest or _has_news(waiting):
            return
        logger.warning(
            "the broker is silent; its connection is made anew",
            extra={"pause_seconds": round(silent)},
        )
        waiting.disconnect()
        # What else was open is as dead, and the first to use it would wait as long again.
        self.pool.disconnect(inuse_connections=False)  # type: ignore[attr-defined]

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002
        found = super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]
        # A step that takes messages and parks them, and whose answer was lost, must not be sent a
        # second time: what it took then would be parked in the place of what it took before.
        for name in ("retry", "retry_on_timeout", "retry_on_error"):
            found.pop(name, None)
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


def _has_news(connection: Any) -> bool:
    sock = connection._sock  # noqa: SLF001 - asking the connection would read what is there
    return sock is None or bool(kombu_redis._socket_readable(sock))  # noqa: SLF001 - as kombu does


class Channel(ParkingMixin, kombu_redis.Channel):
    """A channel to one Redis or Valkey."""


class SentinelChannel(ParkingMixin, kombu_redis.SentinelChannel):
    """A channel to the Redis that the sentinels name."""
