"""A worker's claims: many tasks in one statement, each under a random token."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from celeriac.core.task import ClaimedTask, TaskId
from celeriac.ledger.arrivals import Timing
from celeriac.ledger.database import Database
from celeriac.ledger.exchange import Settled
from celeriac.ledger.incoming import (
    FLAG,
    TEXT,
    WHOLE,
    among,
    by_id,
    encode,
    encode_by_id,
    incoming,
    incoming_by_id,
    matched,
    words,
)
from celeriac.ledger.records import CLAIMED_COLUMNS
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import paused_queues, tasks, workers


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker wants to claim, with the tokens it would hold them by."""

    worker_id: str
    tokens: dict[TaskId, str]
    queues: tuple[str, ...]

    @classmethod
    def of(cls, worker_id: str, ids: Sequence[TaskId], queues: Sequence[str]) -> Self:
        """Return a wish with a new token for each task."""
        return cls(worker_id, dict(zip(ids, _tokens(len(ids)), strict=True)), tuple(queues))


class Claims:
    """Claims tasks, inside somebody's transaction."""

    def __init__(self, database: Database) -> None:
        dialect = self._dialect = database.dialect
        known = select(workers.c.name).where(workers.c.id == bindparam("worker"))
        is_postgresql = dialect == "postgresql"
        build = _claim_on_postgresql if is_postgresql else _claim_on_sqlite
        self._claim = Statement(database, build)
        # Of a transaction that writes nothing but claims.
        self._claim_alone = (
            Statement(database, _claim_alone_on_postgresql) if is_postgresql else self._claim
        )
        self._claim_again = Statement(database, _claim_again_on_postgresql)
        self._granted = Statement(database, _granted_on_sqlite)
        self._known_worker = Statement(database, lambda: known)

    def claim(
        self,
        connection: Connection,
        wish: Wish,
        timing: Timing,
        settled: Settled,
        *,
        is_alone: bool = False,
    ) -> None:
        """Claim what is wished for and may be had.

        Args:
            connection: Where.
            wish: What is wanted.
            timing: The transaction's.
            settled: Takes what was claimed.
            is_alone: Nothing else is written in the transaction: PostgreSQL need not wait for its
                disk, unless one of the tasks must not run again if it ran at all.
        """
        claim = self._claim_alone if is_alone else self._claim
        order = sorted(wish.tokens.items())
        values: dict[str, Any] = {
            "queues": words(self._dialect, wish.queues),
            "worker": wish.worker_id,
            "now": timing.micros,
        }
        found: Iterable[Sequence[Any]]
        if self._dialect == "postgresql":
            found = claim.rows(connection, **_rows(order), **values)
        elif claim.count(connection, rows=(rows := encode_by_id(dict(order))), **values):
            text, is_any_at_most_once = self._granted.first(connection, rows=rows)
            found = orjson.loads(text)
            settled.is_any_at_most_once |= bool(is_any_at_most_once)
        else:
            found = ()
        granted = {row[0]: ClaimedTask._make(row) for row in found}
        settled.claimed += [granted[task_id] for task_id in wish.tokens if task_id in granted]
        if not granted:
            known = self._known_worker.first(connection, worker=wish.worker_id)
            settled.is_reaped = known is None

    def claim_again(
        self,
        connection: Connection,
        worker_id: str,
        tokens: Mapping[TaskId, str],
        timing: Timing,
    ) -> dict[TaskId, str]:
        """Claim on PostgreSQL what a worker has claimed before; return what it got, by its tokens.

        Whatever is queued, by the tokens it had: a queue that was paused meanwhile, or a moment
        that is over, keeps from beginning only what has not begun.
        """
        rows = self._claim_again.rows(
            connection, **_rows(sorted(tokens.items())), worker=worker_id, now=timing.micros
        )
        return {row[0]: tokens[row[0]] for row in rows}


def _rows(order: Sequence[tuple[TaskId, str]]) -> dict[str, Any]:
    """Return tasks and their tokens, in the order of locks, as PostgreSQL is told of them."""
    return {
        "rows": encode([{"id": task_id, "token": token} for task_id, token in order]),
        "ids": words("postgresql", [task_id for task_id, _ in order]),
    }


def _tokens(count: int) -> Iterable[str]:
    text = secrets.token_hex(16 * count)
    return (text[start : start + 32] for start in range(0, 32 * count, 32))


def _is_queued() -> ColumnElement[bool]:
    # I2: one holder.
    return tasks.c.state == literal_column("'queued'")


def _is_due(dialect: str) -> ColumnElement[bool]:
    return by_id(
        and_(
            _is_queued(),
            # I6: only what this worker serves, whatever a message says.
            among(dialect, tasks.c.queue, "queues"),
            tasks.c.queue.not_in(select(paused_queues.c.name)),
            tasks.c.cancel_requested_at.is_(None),
            or_(
                tasks.c.expires_at.is_(None),
                tasks.c.expires_at > bindparam("now", type_=WHOLE),
            ),
        )
    )


def _claimed_by(holder: Any, token: ColumnElement[str]) -> dict[str, Any]:
    return {
        "state": literal_column("'running'"),
        "lease_token": token,
        "worker_id": holder.c.id,
        "worker": holder.c.name,
        "attempt": tasks.c.attempt + literal_column("1"),
        "started_at": bindparam("now", type_=WHOLE),
        "ring_due_at": literal_column("NULL"),
        "version": tasks.c.version + literal_column("1"),
    }


def _holder() -> Select[Any]:
    return select(workers.c.id, workers.c.name).where(
        workers.c.id == bindparam("worker", type_=TEXT)
    )


def _claim_on_postgresql() -> Update:
    return _claim_of(_chosen(_is_due("postgresql")))


def _claim_alone_on_postgresql() -> Update:
    due = _chosen(_is_due("postgresql"))
    # Said in the statement itself: it is a transaction, and holds to its end.
    name: ColumnElement[str] = literal_column("'synchronous_commit'")
    waits = case(
        (func.bool_or(due.c.at_most_once), func.current_setting(name)),
        else_=literal_column("'off'"),
    )
    setting = select(func.set_config(name, waits, literal_column("true"))).select_from(due)
    return _claim_of(due).where(setting.scalar_subquery().is_not(None))


def _claim_again_on_postgresql() -> Update:
    return _claim_of(_chosen(by_id(_is_queued())))


def _chosen(condition: ColumnElement[bool]) -> CTE:
    rows = incoming("postgresql", {"id": TEXT, "token": TEXT})
    return (
        select(tasks.c.id, rows.c.token, tasks.c.at_most_once)
        .where(matched("postgresql", tasks.c.id, rows), condition)
        .order_by(tasks.c.id)
        .with_for_update(of=tasks)
        .cte("due")
    )


def _claim_of(due: CTE) -> Update:
    # Kept from being reaped until this commits: a claim in the name of a worker that is gone would
    # never be given back.
    holder = _holder().with_for_update(read=True, key_share=True).cte("holder")
    return (
        update(tasks)
        .where(tasks.c.id == due.c.id, holder.c.id.is_not(None))
        .values(_claimed_by(holder, due.c.token))
        .returning(*CLAIMED_COLUMNS)
    )


def _claim_on_sqlite() -> Update:
    # Its only writer needs to lock no rows. And it returns none: with each row that it fetches,
    # the driver lets go of the interpreter's lock, which a busy main thread keeps for 5 ms.
    rows = incoming_by_id("token")
    holder = _holder().cte("holder")
    return (
        update(tasks)
        .where(tasks.c.id == rows.c.id, _is_due("sqlite"), holder.c.id.is_not(None))
        .values(_claimed_by(holder, rows.c.token))
    )


def _granted_on_sqlite() -> Select[Any]:
    # All rows in one, as a JSON text. Tokens are random: whose lease has this one was granted now.
    rows = incoming_by_id("token")
    return select(
        func.json_group_array(func.json_array(*CLAIMED_COLUMNS)),
        func.max(tasks.c.at_most_once, type_=FLAG),
    ).where(tasks.c.id == rows.c.id, tasks.c.lease_token == rows.c.token)
