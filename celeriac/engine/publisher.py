"""Ringing: telling the broker that tasks are ready, many at a time.

A doorbell that is lost costs a little time: the janitor rings again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from celery.utils.nodenames import anon_nodename
from kombu.common import maybe_declare

from celeriac.core.task import Doorbell, TaskId
from celeriac.engine.broker import broker_errors, connect_once, is_redis
from celeriac.engine.doorbell import CONTENT_TYPE, EMPTY_BODY, headers_of
from celeriac.engine.messages import priority_for_message
from celeriac.engine.transport.ringing import Bell, Ringing
from celeriac.telemetry import Counters

logger = logging.getLogger(__name__)

# How long nobody tries a broker that was just found to be away.
PAUSE_SECONDS = 1.0
# Redis's own is none of Python's.
_TIMEOUTS = (TimeoutError, redis.TimeoutError)


class Publisher:
    """Rings doorbells over a broker connection of its own, from any thread."""

    def __init__(
        self,
        app: Any,
        counters: Counters,
        *,
        is_zero_first: bool,
        tell: Callable[[Sequence[TaskId]], None] = lambda _: None,
    ) -> None:
        self._app = app
        # Called with the tasks that were rung for, for whoever watches.
        self._tell = tell
        self._counters = counters
        self._is_zero_first = is_zero_first
        self._origin = anon_nodename()
        self._lock = threading.Lock()
        self._connection: Any = None
        self._producer: Any = None
        self._is_redis = is_redis(app)
        self._ringing: Ringing | None = None
        # Queues that were declared over this connection.
        self._declared: set[str] = set()
        self._away_until = 0.0

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Tell the broker that tasks are ready.

        A broker that is away is no error: the rows are committed, and the janitor rings for them
        when it is back.
        """
        if not doorbells:
            return
        self._ring(doorbells)
        self._tell([doorbell.task_id for doorbell in doorbells])

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._lock:
            self._drop()

    def _ring(self, doorbells: Sequence[Doorbell]) -> None:
        with self._lock:
            # Whoever submits must not wait for a broker that was away a moment ago.
            if time.monotonic() < self._away_until:
                self._counters.add("doorbells_not_rung", len(doorbells))
                return
            try:
                self._publish_again(doorbells)
            except self._errors as error:
                self._give_up(error, missed=len(doorbells))
            else:
                self._counters.add("doorbells_rung", len(doorbells))

    def _publish_again(self, doorbells: Sequence[Doorbell]) -> None:
        was_connected = self._connection is not None
        try:
            self._publish_all(self._connected(), doorbells)
        except self._errors as error:
            # The connection may lead to a broker that was started anew since, at another port. To
            # ring twice for one task harms nobody. One that is silent has been waited for already.
            if not was_connected or isinstance(error, _TIMEOUTS):
                raise
            self._drop()
            self._publish_all(self._connected(), doorbells)

    def _connected(self) -> Any:
        if self._producer is None:
            self._connection = connect_once(self._app)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
        return self._producer

    @property
    def _errors(self) -> tuple[type[BaseException], ...]:
        return broker_errors(self._connection or self._app.connection_for_write())

    def _give_up(self, error: BaseException, *, missed: int) -> None:
        self._drop()
        self._away_until = time.monotonic() + PAUSE_SECONDS
        self._counters.add("doorbells_not_rung", missed)
        logger.warning(
            "the broker is away; queued tasks wait until it is back",
            extra={"count": missed, "error": type(error).__name__},
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._producer = self._ringing = None
        if connection is not None:
            connection.release()

    def _publish_all(self, producer: Any, doorbells: Sequence[Doorbell]) -> None:
        if self._is_redis:
            self._write(doorbells)
            return
        # One round trip for many, where the transport can.
        with producer.batch():
            for doorbell in doorbells:
                self._publish(producer, doorbell)

    def _write(self, doorbells: Sequence[Doorbell]) -> None:
        channel = self._connection.default_channel
        if self._ringing is None:
            self._ringing = Ringing(channel, origin=self._origin)
            self._declared = set()
        # Kombu would remember it too, but makes three copies of a queue to find that it does.
        for queue in {doorbell.queue for doorbell in doorbells} - self._declared:
            maybe_declare(self._app.amqp.queues[queue], channel)
            self._declared.add(queue)
        self._ringing.ring(
            [
                (
                    Bell(doorbell.name, doorbell.queue, self._priority_of(doorbell)),
                    doorbell.task_id,
                )
                for doorbell in doorbells
            ]
        )

    def _publish(self, producer: Any, doorbell: Doorbell) -> None:
        task_id = str(doorbell.task_id)
        producer.publish(
            EMPTY_BODY,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            serializer=None,
            exchange="",
            routing_key=doorbell.queue,
            priority=self._priority_of(doorbell),
            correlation_id=task_id,
            delivery_mode=2,
            declare=[self._app.amqp.queues[doorbell.queue]],
            headers=headers_of(task_id, doorbell.name, origin=self._origin),
            # One try: what is not rung now is rung by the janitor, and a caller is waiting.
            retry=False,
        )

    def _priority_of(self, doorbell: Doorbell) -> int:
        return priority_for_message(doorbell.priority, is_zero_first=self._is_zero_first)
