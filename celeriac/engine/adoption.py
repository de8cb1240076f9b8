"""Taking in what plain Celery producers send: their messages become rows, like everybody's tasks.

A message is acknowledged when its row is committed, so that whatever happens in between costs a
second look and no task. From then on the row rules: its own doorbell is rung, and any worker may
answer it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from kombu.exceptions import KombuError

from celeriac.core.task import Doorbell, NewTask
from celeriac.engine.broker import broker_errors
from celeriac.engine.messages import chain_placeholders, task_of_message
from celeriac.engine.runtime import Engine
from celeriac.engine.transport.element import READING_ERRORS
from celeriac.errors import CeleriacError, ConflictError, InvalidRequestError, UnavailableError

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 500
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

Adopted = tuple[Any, tuple[NewTask, ...]]


class Adoption:
    """A thread that brings messages of others into the ledger, many at a time."""

    def __init__(self, app: Any, engine: Engine, post: Callable[..., None]) -> None:
        """Prepare; nothing is taken before `start`.

        Args:
            app: Whose tasks and queues the messages name.
            engine: Where the ledger and the doorbells are.
            post: Has a call made in the worker's main thread.
        """
        self._app = app
        self._engine = engine
        self._post = post
        self._broker_errors = broker_errors(app.connection_for_write())
        self._queue: queue.SimpleQueue[Adopted | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celeriac-adoption", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, message: Any) -> bool:
        """Take a message; False when it is no task that can be kept, which is left to Celery."""
        try:
            rows = self._rows_of(message)
        except (*READING_ERRORS, KombuError, CeleriacError):
            return False
        self._queue.put((message, rows))
        return True

    def stop(self, seconds: float) -> None:
        """End; what is not committed yet stays with the broker, which gives it to others."""
        self._is_over.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _rows_of(self, message: Any) -> tuple[NewTask, ...]:
        headers = message.headers
        args, kwargs, embed = message.payload
        name = headers["task"]
        if embed.get("chord"):
            # How many parts it has is known to its sender's result backend alone.
            logger.error(
                "the chord of a plain producer is not counted: its body will not run",
                extra={"task_id": headers["id"]},
            )
            embed = {**embed, "chord": None}
        task = task_of_message(
            headers,
            message.properties,
            (args, kwargs, embed),
            queue=self._app.amqp.queue_of(message.delivery_info),
            is_zero_first=self._engine.is_zero_first_for(name),
            at_most_once=self._engine.is_at_most_once(name),
        )
        return (task, *chain_placeholders(task))

    # ---- the thread

    def _run(self) -> None:
        while not self._is_over.is_set():
            item = self._queue.get()
            batch: list[Adopted] = []
            while item is not None:
                batch.append(item)
                if len(batch) >= _MOST_AT_ONCE or self._queue.empty():
                    break
                item = self._queue.get()
            if batch:
                self._keep(batch)

    def _keep(self, batch: list[Adopted]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._is_over.is_set():
            try:
                doorbells = self._insert(batch)
            except UnavailableError:
                # Unacknowledged, they are safe with the broker.
                self._is_over.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            except Exception:
                # The worker's boundary: these stay unacknowledged, the next ones may be kept.
                logger.exception("messages were not taken in", extra={"count": len(batch)})
                return
            self._engine.counters.add("messages_adopted", len(batch))
            self._post(self._acknowledge, [message for message, _ in batch])
            self._ring(doorbells)
            return

    def _ring(self, doorbells: list[Doorbell]) -> None:
        try:
            self._engine.publisher.ring(doorbells)
        except Exception:
            # The worker's boundary: the rows are there and the janitor rings; without this thread
            # nothing would be taken in any more.
            logger.exception("doorbells were not rung", extra={"count": len(doorbells)})

    def _insert(self, batch: list[Adopted]) -> list[Doorbell]:
        rows = [row for _, rows in batch for row in rows]
        try:
            found = self._engine.ledger.tasks.insert(rows)
        except (InvalidRequestError, ConflictError) as error:
            if len(batch) == 1:
                # It can never be kept; given back, it would come again for ever.
                logger.error(
                    "a message was refused",
                    extra={"task_id": rows[0].id, "error": error.code},
                )
                self._engine.counters.add("messages_refused", 1)
                return []
            middle = len(batch) // 2
            return self._insert(batch[:middle]) + self._insert(batch[middle:])
        return [bell for bell in found if bell is not None]

    def _acknowledge(self, messages: list[Any]) -> None:
        for message in messages:
            if not message.acknowledged:
                message.ack_log_error(logger, self._broker_errors)
