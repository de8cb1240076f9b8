"""Celery's consumer with a short way for doorbells.

Celery makes a request out of every message: it reads the body, the times, the limits. A doorbell
has none of these that count. Messages of anybody else go Celery's own way.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.app import trace
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.pool.base import LedgerPool
from celeriac.engine.request import DoorbellRequest, kind_of

logger = logging.getLogger(__name__)

# Celery's: who configures what it logs of received tasks means this one.
received_logger = logging.getLogger("celery.worker.strategy")

_CELERYS_STRATEGY = "celery.worker.strategy:default"
_CELERYS_REQUEST = "celery.worker.request:Request"

# What a message of another shape than it says raises where it is read.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


class LedgerConsumer(Consumer):
    """Celery's consumer, in whose worker a pool of ours runs the tasks."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return what takes each message; asked for again after every reconnection."""
        celerys: Callable[[Any], None] = super().create_task_handler(*args, **kwargs)
        if not isinstance(self.pool, LedgerPool):
            return celerys
        self.pool.consumes_by(self)
        adoption = self.pool.adoption
        kinds: dict[str, type[DoorbellRequest] | None] = {}

        def take(message: Any) -> None:
            if message.content_type != CONTENT_TYPE:
                if adoption is None or not adoption.take(message):
                    celerys(message)
                return
            name = _name_of(message)
            if name not in kinds:
                kinds[name] = self._kind_of(name)
            kind = kinds[name]
            if kind is None:
                celerys(message)
            else:
                self._receive(kind(message))

        def on_message(message: Any) -> None:
            try:
                take(message)
            except _UNREADABLE:
                # Celery believes a message to have the right shape. This one would end the worker,
                # then go back to its queue and end the next one.
                logger.exception("a message that cannot be read was dropped")
                self.app.celeriac.counters.add("messages_refused")
                if not message.acknowledged:
                    message.reject_log_error(logger, self.connection_errors)

        return on_message

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Say that the broker is lost; without Celery's advice about tasks delivered again.

        They go on here, and their doorbells, should they come again, are refused.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def on_send_event_buffered(self) -> None:
        """Have the events that gather published together with those that follow at once."""
        if self.hub and isinstance(self.pool, LedgerPool):
            # Not `hub.call_soon`, which waits for the next message to come in.
            self.pool.call_soon(self._flush_events)
        else:
            super().on_send_event_buffered()

    def _kind_of(self, name: Any) -> type[DoorbellRequest] | None:
        """Return what doorbells of a task function become; None leaves them to Celery."""
        task = self.app.tasks.get(name)
        is_plain = (
            name in self.strategies
            and getattr(task, "Strategy", None) == _CELERYS_STRATEGY
            and getattr(task, "Request", None) in (_CELERYS_REQUEST, Request)
        )
        return kind_of(task, self) if is_plain else None

    def _receive(self, request: DoorbellRequest) -> None:
        """Do what Celery's strategy does with a request (celery 5.7, worker/strategy.py)."""
        if received_logger.isEnabledFor(logging.INFO):
            _log_received(request)
        if request.id in state.revoked and request.revoked():
            return
        signals.task_received.send(sender=self, request=request)
        if request.sends_events:
            _tell_received(request)
        bucket = None if self.disable_rate_limits else self.task_buckets[request.name]
        if bucket:
            self._limit_task(request, bucket, 1)
            return
        state.task_reserved(request)
        for callback in self.on_task_message:
            callback(request)
        self.on_task_request(request)


def _name_of(message: Any) -> str:
    """Return the task function that a doorbell names.

    Raises:
        TypeError: It is no doorbell; only our own transport has looked at it already.
    """
    headers = message.headers
    name, task_id = headers.get("task"), headers.get("id")
    if not isinstance(name, str) or not isinstance(task_id, str):
        raise TypeError("a doorbell names a task and its id")
    return name


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
    request.send_event(
        "task-received",
        name=request.name,
        args=request.argsrepr,
        kwargs=request.kwargsrepr,
        root_id=request.root_id,
        parent_id=request.parent_id,
        retries=request.message.headers.get("retries", 0),
        eta=None,
        expires=None,
    )
