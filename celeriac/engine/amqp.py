"""The seam where Celery sends a task: the row is committed first, then the doorbell rings.

Everything that Celery sends passes through one function (`AMQP._create_task_sender`): `.delay()`,
`apply_async`, canvas, retries, countdown and eta. Ours writes a row instead of publishing. Inside
a running task, what belongs to the task's end is collected and written with its completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from celery import signals
from celery.app.amqp import AMQP, _callback_publish_retry
from kombu.common import Broadcast
from kombu.entity import Queue
from kombu.messaging import Consumer

from celeriac.core.task import NewTask
from celeriac.engine.broker import broker_errors
from celeriac.engine.collector import Collector, current_collector
from celeriac.engine.lots import current_lot
from celeriac.engine.messages import chain_placeholders, task_of_message
from celeriac.errors import InvalidOptionError


class QueueConsumer(Consumer):
    """Kombu's consumer, which says of each message in which queue it lay.

    Its exchange and its routing key do not say so: an exchange of topics puts one message into many
    queues, whatever these are called.
    """

    def _basic_consume(
        self,
        queue: Any,
        consumer_tag: str | None = None,
        no_ack: Any = None,
        nowait: bool = True,  # noqa: FBT001, FBT002 - kombu's signature
    ) -> Any:
        # As kombu's own (5.7, messaging.py), but for the callback.
        tag = self._active_tags.get(queue.name)
        if tag is None:
            no_ack = queue.no_ack if no_ack is None else no_ack
            tag = self._add_tag(queue, consumer_tag)
            self._active_queue_no_ack[queue.name] = no_ack
            receive = _FromQueue(self, queue.name)
            queue.consume(tag, receive, no_ack=no_ack, nowait=nowait)
        return tag


class _FromQueue:
    """What takes the messages of one queue for a consumer."""

    __slots__ = ("__self__", "_queue", "_receive")

    def __init__(self, consumer: Any, queue: str) -> None:
        # As a bound method has it: whoever is called with this one may look for the consumer.
        self.__self__ = consumer
        self._receive = consumer._receive_callback  # noqa: SLF001 - what kombu itself would pass
        self._queue = queue

    def __call__(self, message: Any) -> Any:
        message.delivery_info["queue"] = self._queue
        return self._receive(message)


class LedgerAMQP(AMQP):
    """Celery's AMQP, sending rows."""

    Consumer = QueueConsumer

    def _create_task_sender(self) -> Callable[..., Any]:
        app = self.app
        before, after = signals.before_task_publish, signals.after_task_publish

        def send_task_message(
            producer: Any,
            name: str,
            message: Any,
            exchange: Any = None,
            routing_key: str | None = None,
            queue: Any = None,
            event_dispatcher: Any = None,
            headers: dict[str, Any] | None = None,
            **options: Any,
        ) -> None:
            message_headers, properties, body, sent_event = message
            message_headers.update(headers or {})
            properties.update({k: v for k, v in options.items() if k not in _TRANSPORT_OPTIONS})
            queue_name = self._queue_name(queue, exchange, routing_key)
            before.send(
                sender=name,
                body=body,
                exchange="",
                routing_key=queue_name,
                declare=None,
                headers=message_headers,
                properties=properties,
                retry_policy=None,
            )
            task = task_of_message(
                message_headers,
                properties,
                body,
                queue=queue_name,
                is_zero_first=app.celeriac.is_zero_first_for(name),
                at_most_once=app.celeriac.is_at_most_once(name),
            )

            def tell() -> None:
                after.send(
                    sender=name,
                    body=body,
                    exchange="",
                    routing_key=queue_name,
                    headers=message_headers,
                )
                if sent_event:
                    self._send_sent_event(
                        event_dispatcher or self._event_dispatcher, producer, message, queue_name
                    )

            self._accept(task, tell)

        return send_task_message

    def queue_of(self, delivery: Mapping[str, Any]) -> str:
        """Return the queue in which a message lay: what our consumer, or its sender, says of it."""
        known = delivery.get("queue")
        if known is not None:
            return str(known)
        return self._queue_name(None, delivery.get("exchange"), delivery.get("routing_key"))

    def _queue_name(self, queue: Any, exchange: Any, routing_key: str | None) -> str:
        """Return the queue that a task is sent to, however the caller named it."""
        if isinstance(queue, Broadcast):
            raise InvalidOptionError(
                "queue", "a broadcast queue has no single worker to claim a task; use `control`"
            )
        if isinstance(queue, Queue):
            return str(queue.name)
        if isinstance(queue, str):
            # Looked up so that a queue that may not be created by a caller is refused here.
            return str(self.queues[queue].name)
        if exchange is None and routing_key is None:
            return str(self.default_queue.name)
        exchange_name = getattr(exchange, "name", exchange) or ""
        for known in self.queues.values():
            if known.routing_key == routing_key and exchange_name in ("", known.exchange.name):
                return str(known.name)
        # The default exchange delivers to the queue that is called like the routing key.
        return routing_key or str(self.default_queue.name)

    def _accept(self, task: NewTask, tell: Callable[[], None]) -> None:
        """Collect a task that belongs to the end of the one that runs here; commit any other."""
        rows = chain_placeholders(task)
        collector = current_collector()
        lot = current_lot()
        if collector is not None and belongs_to_end(collector, (task, *rows)):
            collector.add(task, rows)
        elif lot is not None:
            lot.add((task, *rows), tell)
            return
        else:
            self.app.celeriac.road.submit((task, *rows))
        tell()

    def _send_sent_event(
        self, dispatcher: Any, producer: Any, message: Any, queue_name: str
    ) -> None:
        sent_event = message[3]
        sent_event.update(queue=queue_name, exchange="", routing_key=queue_name)
        try:
            dispatcher.publish("task-sent", sent_event, producer, retry=False)
        except broker_errors(self.app.connection_for_write()):
            # The task is accepted: what only watchers would have heard must not say otherwise.
            self.app.celeriac.counters.add("sent_events_lost")


def belongs_to_end(collector: Collector, rows: Iterable[NewTask]) -> bool:
    """Whether what is sent now becomes true with the end of the task that runs here.

    A retry or a replacement bears that task's own id; Celery marks what it sends for links and
    chains; what errbacks send is marked by our backend. The parts of a chord that stands with the
    end must not end before it does. Anything else a body sends stands at once.
    """
    if collector.is_ending or _callback_publish_retry.get():
        return True
    chords = {chord.id for chord in collector.chords}
    return any(task.id == collector.claimed.id or task.chord_id in chords for task in rows)


# Options of a publish that say how to talk to the broker, not what the task is.
_TRANSPORT_OPTIONS = frozenset(
    {
        "retry", "retry_policy", "serializer", "delivery_mode", "compression", "declare",
        "exchange_type", "timeout", "confirm_timeout", "mandatory", "immediate",
    }
)  # fmt: skip
