"""What takes the messages of a worker's consumer: doorbells our short way, others Celery's own.

Celery makes a request out of every message: it reads the body, the times, the limits. A doorbell
has none of these that count, and comes with many others.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.app import trace
from celery.worker import state
from celery.worker.request import Request

from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.request import DoorbellRequest, kind_of

if TYPE_CHECKING:
    from celeriac.engine.consumer import LedgerConsumer

logger = logging.getLogger(__name__)

# Celery's: who configures what it logs of received tasks means this one.
received_logger = logging.getLogger("celery.worker.strategy")

_CELERYS_STRATEGY = "celery.worker.strategy:default"
_CELERYS_REQUEST = "celery.worker.request:Request"

# What a message of another shape than it says raises where it is read.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


class Handler:
    """Takes messages until the consumer's connection is lost."""

    def __init__(
        self, consumer: LedgerConsumer, pool: LedgerPool, celerys: Callable[[Any], None]
    ) -> None:
        """Prepare.

        Args:
            consumer: Whose messages they are.
            pool: What runs their tasks.
            celerys: Celery's own way, for what is no doorbell of ours.
        """
        self._consumer = consumer
        self._pool = pool
        self._celerys = celerys
        # By the task functions that doorbells name; None leaves them to Celery.
        self._kinds: dict[str, type[DoorbellRequest] | None] = {}

    def __call__(self, message: Any) -> None:
        """Take one message, of whatever kind."""
        if message.content_type == CONTENT_TYPE:
            self.take_doorbells(deque((message,)))
            return
        adoption = self._pool.adoption
        try:
            if adoption is None or not adoption.take(message):
                self._celerys(message)
        except _UNREADABLE as error:
            self._drop(message, error)

    def take_doorbells(self, messages: deque[Any]) -> None:
        """Take doorbells that came together; what an error leaves there was not looked at."""
        requests: list[DoorbellRequest] = []
        is_logged = received_logger.isEnabledFor(logging.INFO)
        try:
            while messages:
                message = messages.popleft()
                try:
                    request = self._request_of(message)
                    if request is None:
                        self._celerys(message)
                    elif self._is_to_run(request, is_logged=is_logged):
                        requests.append(request)
                except _UNREADABLE as error:
                    self._drop(message, error)
        finally:
            if requests:
                self._pool.receive_all(requests)

    def _request_of(self, message: Any) -> DoorbellRequest | None:
        """Return a doorbell's request; None leaves it to Celery.

        Raises:
            TypeError: It is no doorbell; only our own transport has looked at it already.
        """
        headers = message.headers
        name = headers.get("task")
        if not isinstance(name, str) or not isinstance(headers.get("id"), str):
            raise TypeError("a doorbell names a task and its id")
        try:
            kind = self._kinds[name]
        except KeyError:
            kind = self._kind_of(name)
            # Names that somebody made up are not remembered: there is no end to them.
            if name in self._consumer.app.tasks:
                self._kinds[name] = kind
        return None if kind is None else kind(message)

    def _kind_of(self, name: str) -> type[DoorbellRequest] | None:
        consumer = self._consumer
        task = consumer.app.tasks.get(name)
        is_plain = (
            name in consumer.strategies
            and getattr(task, "Strategy", None) == _CELERYS_STRATEGY
            and getattr(task, "Request", None) in (_CELERYS_REQUEST, Request)
        )
        return kind_of(task, consumer) if is_plain else None

    def _is_to_run(self, request: DoorbellRequest, *, is_logged: bool) -> bool:
        """Do what Celery's strategy does with a request (celery 5.7, worker/strategy.py).

        Returns:
            Whether the pool gets it now: not when it is revoked, or has to wait for its turn.
        """
        consumer = self._consumer
        if is_logged:
            _log_received(request)
        if request.id in state.revoked and request.revoked():
            return False
        if signals.task_received.receivers:
            signals.task_received.send(sender=consumer, request=request)
        if request.is_watched:
            _tell_received(request)
        bucket = None if consumer.disable_rate_limits else consumer.task_buckets[request.name]
        if bucket:
            consumer._limit_task(request, bucket, 1)  # noqa: SLF001 - as Celery's strategy does
            return False
        # What `state.task_reserved` does, for a request that was never scheduled.
        state.requests[request.id] = request
        state.reserved_requests.add(request)
        for callback in consumer.on_task_message:
            callback(request)
        return True

    def _drop(self, message: Any, error: Exception) -> None:
        # Celery believes a message to have the right shape. This one would end the worker, then go
        # back to its queue and end the next one.
        logger.error("a message that cannot be read was dropped", exc_info=error)
        consumer = self._consumer
        consumer.app.celeriac.counters.add("messages_refused")
        if not message.acknowledged:
            message.reject_log_error(logger, consumer.connection_errors)


def _log_received(request: DoorbellRequest) -> None:
    facts = {
        "id": request.id,
        "name": request.name,
        "args": request.argsrepr,
        "kwargs": request.kwargsrepr,
        "eta": None,
    }
    received_logger.info(trace.LOG_RECEIVED, facts, extra={"data": facts})


def _tell_received(request: DoorbellRequest) -> None:
    headers = request.message.headers
    request.send_event(
        "task-received",
        name=request.name,
        args=headers.get("argsrepr", ""),
        kwargs=headers.get("kwargsrepr", ""),
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        retries=headers.get("retries", 0),
        eta=None,
        expires=None,
    )
