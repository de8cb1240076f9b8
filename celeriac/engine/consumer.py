"""Celery's consumer, in whose worker a pool of ours runs the tasks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer

from celeriac.core.task import TaskId
from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.handler import Handler
from celeriac.engine.local_broker import is_followed
from celeriac.engine.pool.base import LedgerPool
from celeriac.wording import as_typed_here

logger = logging.getLogger(__name__)


class LedgerConsumer(Consumer):
    """Celery's consumer with a short way for doorbells."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Return what takes each message; asked for again after every reconnection."""
        celerys: Callable[[Any], None] = super().create_task_handler(*args, **kwargs)
        if not isinstance(self.pool, LedgerPool):
            return celerys
        self.pool.consumes_by(self)
        return Handler(self, self.pool, celerys)

    def ensure_connected(self, conn: Any) -> Any:
        """Return a connection once it is made.

        Celery waits longer and longer, and not for ever. `up` comes back at another port after
        minutes or days, and somebody waits for what it has for this worker.
        """
        if not is_followed(conn):
            return super().ensure_connected(conn)
        told = False

        def tell(_error: Exception, _seconds: float) -> None:
            nonlocal told
            if not told:
                logger.warning(
                    as_typed_here(
                        "no broker: this worker waits until `celeriac up` runs here; or start a"
                        " Redis and name it in CELERIAC_BROKER_URL"
                    )
                )
            told = True

        return conn.ensure_connection(
            tell,
            interval_start=1.0,
            interval_step=0.0,
            interval_max=1.0,
            callback=state.maybe_shutdown,
        )

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Take a message whose task has no function here.

        Celery logs an error and has the task fail; the task of a doorbell waits for a worker that
        knows it.
        """
        if message.content_type != CONTENT_TYPE or not isinstance(self.pool, LedgerPool):
            super().on_unknown_task(body, message, exc)
            return
        task_id, name = TaskId(message.headers["id"]), message.headers["task"]
        if self.pool.meet_stranger(task_id, name):
            message.ack_log_error(logger, self.connection_errors)
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=task_id)

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
