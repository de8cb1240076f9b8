"""The workers that have joined, and how their heart beats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Delete, Insert, bindparam, delete, literal_column, select, update

from celeriac.core.moments import from_micros, to_micros
from celeriac.core.worker import NewWorker, Worker
from celeriac.ledger.arrivals import Timing
from celeriac.ledger.database import Database
from celeriac.ledger.endings import HELD_COLUMNS, Consequences, Endings
from celeriac.ledger.incoming import insert_into
from celeriac.ledger.repertoires import Repertoires
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import tasks, workers
from celeriac.ledger.transaction import Shape
from celeriac.ledger.verdicts import Held, judge_lost


class Workers:
    """Who has joined and not left."""

    def __init__(
        self, database: Database, endings: Endings, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._endings = endings
        self._clock = clock
        self._repertoires = Repertoires(database)
        dialect = database.dialect
        everyone = select(*workers.c).order_by(workers.c.name, workers.c.id)
        beat = (
            update(workers)
            .where(workers.c.id == bindparam("worker"))
            .values(
                sequence=workers.c.sequence + literal_column("1"), heartbeat_at=bindparam("now")
            )
        )
        held = (
            select(*HELD_COLUMNS)
            .where(
                tasks.c.worker_id == bindparam("worker"),
                tasks.c.state == literal_column("'running'"),
            )
            .order_by(tasks.c.id)
            .with_for_update()
        )
        self._join = Statement(database, lambda: _join_statement(dialect))
        self._everyone = Statement(database, lambda: everyone)
        self._beat = Statement(database, lambda: beat)
        self._held = Statement(database, lambda: held)
        self._remove = Statement(database, _remove_statement)

    def join(self, worker: NewWorker) -> None:
        """Make a worker known, so that it may claim; one that has joined already stays as it is."""
        now = to_micros(self._clock())
        row = {
            "id": worker.id,
            "name": worker.name,
            "queues": orjson.dumps(worker.queues).decode(),
            "machine": worker.machine,
            "pid": worker.pid,
            "process_started": worker.process_started,
            "pool": worker.pool,
            "slots": worker.slots,
            "code_version": worker.code_version,
            "sequence": 1,
            "started_at": now,
            "heartbeat_at": now,
        }

        def act(connection: Connection) -> None:
            repertoire = self._repertoires.keep(connection, worker.task_names, now=now)
            self._join.count(connection, repertoire=repertoire, **row)

        self._database.write(act)

    def leave(self, worker_id: str) -> None:
        """Forget a worker. What it still held goes back, and none of it is to blame."""

        def act(connection: Connection) -> None:
            if self._remove.count(connection, worker=worker_id, sequence=None):
                timing = Timing.rung_by_janitor(self._clock())
                self.give_back(connection, worker_id, timing, crashed=frozenset())

        self._database.write(act)

    def beat(self, worker_id: str) -> bool:
        """Raise a worker's sequence number; False when it is no longer known: it was reaped."""
        now = to_micros(self._clock())
        # No worker outlives the power cut that would take it back.
        count = self._database.write_passing(
            lambda connection: self._beat.count(connection, worker=worker_id, now=now),
            lambda _: False,
            shape=Shape.ALONE,
        )
        return bool(count)

    def workers(self) -> tuple[Worker, ...]:
        """Return every worker that has joined and not left."""

        def look(connection: Connection) -> tuple[Worker, ...]:
            rows = self._everyone.rows(connection)
            names = self._repertoires.find(connection, {row.repertoire for row in rows})
            return tuple(_worker_from_row(row, names.get(row.repertoire)) for row in rows)

        return self._database.read(look)

    def remove(self, connection: Connection, worker_id: str, seen_sequence: int) -> bool:
        """Forget a worker if its heart has not beaten since; whether it was so."""
        return bool(self._remove.count(connection, worker=worker_id, sequence=seen_sequence))

    def give_back(
        self,
        connection: Connection,
        worker_id: str,
        timing: Timing,
        *,
        crashed: frozenset[str] | None,
    ) -> Consequences:
        """Take from a worker that is gone all it held.

        Args:
            connection: The transaction in which the worker was removed: nobody can claim in its
                name any more, so that nothing is left behind.
            worker_id: The worker.
            timing: The moment of the write.
            crashed: The tasks that may have brought it down; None when nobody knows.
        """
        held = [Held(*row) for row in self._held.rows(connection, worker=worker_id)]
        verdicts = [
            judge_lost(row, timing, is_suspect=crashed is None or row.id in crashed) for row in held
        ]
        return self._endings.settle(connection, verdicts, timing)


def _worker_from_row(row: Any, task_names: frozenset[str] | None) -> Worker:
    return Worker(
        id=row.id,
        name=row.name,
        queues=tuple(orjson.loads(row.queues)),
        machine=row.machine,
        pid=row.pid,
        process_started=row.process_started,
        pool=row.pool,
        slots=row.slots,
        code_version=row.code_version,
        task_names=task_names,
        sequence=row.sequence,
        started_at=from_micros(row.started_at),
        heartbeat_at=from_micros(row.heartbeat_at),
    )


def _join_statement(dialect: str) -> Insert:
    values = {column.name: bindparam(column.name, type_=column.type) for column in workers.c}
    return insert_into(dialect, workers).values(values).on_conflict_do_nothing()


def _remove_statement() -> Delete:
    sequence = bindparam("sequence", type_=workers.c.sequence.type)
    return delete(workers).where(
        workers.c.id == bindparam("worker"),
        (workers.c.sequence == sequence) | sequence.is_(None),
    )
