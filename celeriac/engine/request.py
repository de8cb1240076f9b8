"""Celery's request for a doorbell: what its state, its remote control and its events speak of.

A doorbell has an id and a name. Everything else Celery's own request reads out of a message, and
of everything else the ledger knows better; so it is made here without reading any of it.
"""

from __future__ import annotations

import time
from typing import Any

from celery.exceptions import TaskRevokedError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.request import Request

from celeriac.engine.events import tells_of_tasks

logger = get_logger(__name__)


class DoorbellRequest(Request):
    """The request of one doorbell; each task function has a kind of its own, made by `kind_of`."""

    # Celery's class keeps these in slots; here they are the same for every doorbell.
    _utc = True
    _decoded = True
    _eta = None
    _expires = None
    _content_type = None
    _content_encoding = None
    _args: tuple[Any, ...] = ()
    _kwargs: dict[str, Any] = {}  # noqa: RUF012 - never changed
    _body: tuple[Any, ...] = ((), {}, {})
    _payload = _body
    acknowledged: bool = False
    # These, for every doorbell of one task function.
    name = ""
    _type = ""
    _app: Any
    _task: Any
    _hostname: str
    _eventer: Any
    _connection_errors: tuple[type[BaseException], ...]
    _ignore_result: bool
    sends_events: bool

    def __init__(self, message: Any) -> None:
        self._message = message
        self.id = message.headers["id"]

    @property
    def _request_dict(self) -> dict[str, Any]:
        message = self._message
        properties = message.properties
        return {
            **message.headers,
            "properties": properties,
            "reply_to": properties.get("reply_to"),
            "correlation_id": properties.get("correlation_id"),
            "hostname": self._hostname,
            "delivery_info": self._delivery_info,
            "args": [],
            "kwargs": {},
        }

    @property
    def _delivery_info(self) -> dict[str, Any]:
        delivery = self._message.delivery_info
        return {
            "exchange": delivery.get("exchange"),
            "routing_key": delivery.get("routing_key"),
            "priority": self._message.properties.get("priority"),
            "redelivered": delivery.get("redelivered", False),
        }

    @property
    def _argsrepr(self) -> Any:
        return self._message.headers.get("argsrepr", "")

    @property
    def _kwargsrepr(self) -> Any:
        return self._message.headers.get("kwargsrepr", "")

    @property
    def _root_id(self) -> Any:
        return self._message.headers.get("root_id")

    @property
    def _parent_id(self) -> Any:
        return self._message.headers.get("parent_id")

    @property
    def is_watched(self) -> bool:
        """Whether anybody gets the events that tell of it, at this moment."""
        return self.sends_events and tells_of_tasks(self._eventer)

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> None:
        """Hand the doorbell to the pool.

        Raises:
            TaskRevokedError: Remote control has revoked the task meanwhile.
        """
        if self.id in state.revoked and self.revoked():
            raise TaskRevokedError(self.id)
        pool.receive_all([self])

    def acknowledge(self) -> None:
        """Tell the broker that the doorbell has done its work."""
        if not self.acknowledged:
            self.acknowledged = True
            # At once: Celery's way would wait for the event loop's next turn.
            self._message.ack_log_error(logger, self._connection_errors)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        """Tell whoever watches; what nobody would get is not even made."""
        if self.is_watched:
            self._eventer.send(type, uuid=self.id, **fields)

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's signature
        """Give the doorbell back to the broker, or have it forgotten."""
        if not self.acknowledged:
            self.acknowledged = True
            self._message.reject_log_error(logger, self._connection_errors, requeue)
            self.send_event("task-rejected", requeue=requeue)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Take note of which process runs the task, and since when."""
        self.worker_pid = pid
        self.time_start = time.time() - (time.monotonic() - time_accepted)
        state.requests[self.id] = self
        state.active_requests.add(self)
        self.count()
        if self._terminate_on_ack is not None:
            self.terminate(*self._terminate_on_ack)

    def count(self) -> None:
        """Have Celery count the task as one that began, and whoever watches hear of it."""
        # What `state.task_accepted` does, by way of a Counter's slow `update`.
        state.total_count[self.name] += 1
        state.all_total_count[0] += 1
        self.send_event("task-started")

    def forget(self) -> None:
        """Have Celery forget the task, which has ended or is not to be run here.

        What `state.task_ready` does, for a request that was never scheduled.
        """
        state.requests.pop(self.id, None)
        state.reserved_requests.discard(self)
        if self.time_start is not None:
            state.active_requests.discard(self)


def kind_of(task: Any, consumer: Any) -> type[DoorbellRequest]:
    """Return the class of requests for doorbells of one task function.

    Celery makes a class for each as well: what is the same for all is not set for each.
    """
    eventer = consumer.event_dispatcher
    facts = {
        "name": task.name,
        "_type": task.name,
        "_app": consumer.app,
        "_task": task,
        "_hostname": consumer.hostname,
        "_eventer": eventer,
        "_connection_errors": consumer.connection_errors,
        "_ignore_result": task.ignore_result,
        "sends_events": eventer is not None and task.send_events,
    }
    return type("DoorbellRequest", (DoorbellRequest,), facts)
