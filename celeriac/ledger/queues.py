"""The queues: what waits in each, and which of them are paused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, func, literal_column, select

from celeriac.core.moments import from_micros, to_micros
from celeriac.core.queue import Pause, Queue, QueuedName
from celeriac.errors import InvalidOptionError
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import insert_into, is_sound
from celeriac.ledger.statement import Statement
from celeriac.ledger.sweep_statements import ring_all_statement
from celeriac.ledger.tables import paused_queues, tasks, workers

_MOST_NAME = 200


class Queues:
    """Every queue that has a task, a worker or a pause."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        dialect = database.dialect
        pause = (
            insert_into(dialect, paused_queues)
            .values(
                name=bindparam("queue"),
                reason=bindparam("why"),
                paused_by=bindparam("by"),
                paused_at=bindparam("now"),
            )
            .on_conflict_do_nothing()
        )
        resume = delete(paused_queues).where(paused_queues.c.name == bindparam("queue"))
        paused = select(*paused_queues.c).order_by(paused_queues.c.name)
        waiting = (
            select(tasks.c.queue, func.count(), func.min(tasks.c.queued_at))
            .where(tasks.c.state == literal_column("'queued'"))
            .group_by(tasks.c.queue)
        )
        running = (
            select(tasks.c.queue, func.count())
            .where(tasks.c.state == literal_column("'running'"))
            .group_by(tasks.c.queue)
        )
        names = (
            select(tasks.c.queue, tasks.c.name, func.count())
            .where(tasks.c.state == literal_column("'queued'"))
            .group_by(tasks.c.queue, tasks.c.name)
            .order_by(tasks.c.queue, tasks.c.name)
        )
        served = select(workers.c.queues)
        self._pause = Statement(database, lambda: pause)
        self._resume = Statement(database, lambda: resume)
        # What was refused while the queue was paused has no doorbell any more.
        self._ring = Statement(database, ring_all_statement)
        self._paused = Statement(database, lambda: paused)
        self._waiting = Statement(database, lambda: waiting)
        self._running = Statement(database, lambda: running)
        self._names = Statement(database, lambda: names)
        self._served = Statement(database, lambda: served)

    def pause(self, name: str, *, by: str | None, reason: str = "") -> bool:
        """Have nothing more of a queue begun, from now on; what runs goes on.

        Returns:
            False when it was paused already: who and why stay those of the first.

        Raises:
            InvalidOptionError: The name or the reason cannot be kept.
        """
        if not 1 <= len(name) <= _MOST_NAME or not is_sound(name):
            raise InvalidOptionError("queue", f"1 to {_MOST_NAME} characters that can be kept")
        if not is_sound(reason):
            raise InvalidOptionError("reason", "cannot be kept")
        now = to_micros(self._clock())
        return bool(
            self._database.write(
                lambda connection: self._pause.count(
                    connection, queue=name, why=reason, by=by, now=now
                )
            )
        )

    def resume(self, name: str) -> bool:
        """Have tasks of a queue begun again, and all that wait in it rung.

        Returns:
            False when it was not paused.
        """
        if not is_sound(name):
            return False
        now = to_micros(self._clock())

        def act(connection: Connection) -> bool:
            if not self._resume.count(connection, queue=name):
                return False
            self._ring.count(connection, queue=name, now=now)
            return True

        return self._database.write(act)

    def paused(self) -> dict[str, Pause]:
        """Return every queue that is paused, with who paused it and why."""
        rows = self._database.read(self._paused.rows)
        return {row.name: _pause_from_row(row) for row in rows}

    def queued_names(self) -> tuple[QueuedName, ...]:
        """Return which task names are queued in each queue, by queue and name.

        It looks at every queued task: not for a page that is asked for all the time.
        """
        rows = self._database.read(self._names.rows)
        return tuple(QueuedName(queue=row[0], name=row[1], count=row[2]) for row in rows)

    def list(self) -> tuple[Queue, ...]:
        """Return every queue, by name."""

        def look(connection: Connection) -> tuple[Queue, ...]:
            waiting = {row[0]: row[1:] for row in self._waiting.rows(connection)}
            running = {row[0]: row[1] for row in self._running.rows(connection)}
            paused = {row.name: _pause_from_row(row) for row in self._paused.rows(connection)}
            served = [orjson.loads(row[0]) for row in self._served.rows(connection)]
            names = {*waiting, *running, *paused, *(name for each in served for name in each)}
            return tuple(
                Queue(
                    name=name,
                    queued=waiting[name][0] if name in waiting else 0,
                    oldest_queued_at=from_micros(waiting[name][1]) if name in waiting else None,
                    running=running.get(name, 0),
                    workers=sum(name in each for each in served),
                    pause=paused.get(name),
                )
                for name in sorted(names)
            )

        return self._database.read(look)


def _pause_from_row(row: Any) -> Pause:
    return Pause(by=row.paused_by, reason=row.reason, since=from_micros(row.paused_at))
