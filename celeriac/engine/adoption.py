"""Taking in what plain Celery producers send: their messages become rows, like everybody's tasks.

A message is acknowledged when its row is committed, so that whatever happens in between costs a
second look and no task. From then on the row rules: its own doorbell is rung, and any worker may
answer it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from kombu.exceptions import KombuError

from celeriac.core.task import Doorbell
from celeriac.engine.broker import broker_errors
from celeriac.engine.foreign_chords import Adopted, ForeignChords
from celeriac.engine.messages import chain_placeholders, read_old_message, task_of_message
from celeriac.engine.runtime import Engine
from celeriac.engine.transport.element import READING_ERRORS
from celeriac.errors import CeleriacError, ConflictError, InvalidRequestError, UnavailableError

logger = logging.getLogger(__name__)

_MOST_AT_ONCE = 500
# Messages that are taken and no rows yet, while there is no room for more tasks.
_MOST_TAKEN = 5000
# How often it is looked whether the size of a chord is known.
_LOOK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


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
        # Parts of chords that wait for their size.
        self._held = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celeriac-adoption", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, message: Any) -> bool:
        """Take a message; False when it is no task that can be kept, which is left to Celery."""
        try:
            adopted = self._read(message)
        except (*READING_ERRORS, KombuError, CeleriacError):
            return False
        self._queue.put(adopted)
        return True

    @property
    def has_room(self) -> bool:
        """Whether more may be taken than a worker has room for as tasks."""
        return self._queue.qsize() + self._held < _MOST_TAKEN

    def stop(self, seconds: float) -> None:
        """End; what is not committed yet stays with the broker, which gives it to others."""
        self._is_over.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _read(self, message: Any) -> Adopted:
        headers, payload = message.headers, message.payload
        if isinstance(payload, Mapping):
            headers, payload = read_old_message(payload)
        args, kwargs, embed = payload
        name = headers["task"]
        body, group = embed.get("chord"), headers.get("group")
        if body and not (isinstance(group, str) and group.isprintable() and group):
            # Nothing says which chord that would be.
            body, embed = None, {**embed, "chord": None}
        task = task_of_message(
            headers,
            message.properties,
            (args, kwargs, embed),
            queue=self._app.amqp.queue_of(message.delivery_info),
            is_zero_first=self._engine.is_zero_first_for(name),
            at_most_once=self._engine.is_at_most_once(name),
        )
        rows = (task, *chain_placeholders(task))
        return Adopted(message=message, rows=rows, body=dict(body) if body else None)

    # ---- the thread

    def _run(self) -> None:
        chords = ForeignChords(self._app)
        while not self._is_over.is_set():
            ready = chords.settle(self._gather(is_waiting=bool(self._held)))
            self._held = chords.held
            for start in range(0, len(ready), _MOST_AT_ONCE):
                self._keep(ready[start : start + _MOST_AT_ONCE])
        chords.close()

    def _gather(self, *, is_waiting: bool) -> list[Adopted]:
        """Return what has come, once something has; or when what waits is to be looked at."""
        batch: list[Adopted] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=_LOOK_SECONDS if is_waiting else None)
            while item is not None:
                batch.append(item)
                if len(batch) >= _MOST_AT_ONCE:
                    break
                item = self._queue.get_nowait()
        return batch

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
            self._post(self._acknowledge, [each.message for each in batch])
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
        rows = [row for each in batch for row in each.rows]
        chords = {each.chord.id: each.chord for each in batch if each.chord is not None}
        try:
            found = self._engine.ledger.tasks.insert(rows, chords=tuple(chords.values()))
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
