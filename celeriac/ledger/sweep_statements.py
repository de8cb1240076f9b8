"""What a sweep says to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    bindparam,
    case,
    literal_column,
    null,
    or_,
    select,
    update,
)

from celeriac.ledger.endings import HELD_COLUMNS
from celeriac.ledger.incoming import TEXT, WHOLE
from celeriac.ledger.records import DOORBELL_COLUMNS, ENDED_COLUMNS
from celeriac.ledger.tables import chords, paused_queues, tasks

_SCHEDULED: ColumnElement[str] = literal_column("'scheduled'")
_QUEUED: ColumnElement[str] = literal_column("'queued'")
_WAITING: ColumnElement[str] = literal_column("'waiting'")


def is_due() -> Sequence[Any]:
    """Return of which tasks the time has come."""
    return (tasks.c.state == _SCHEDULED, tasks.c.not_before <= bindparam("now", type_=WHOLE))


def is_expired() -> Sequence[Any]:
    """Return which tasks nobody began in time."""
    return (
        tasks.c.expires_at <= bindparam("now", type_=WHOLE),
        # The index's own words: what is running may go on, and what waits has not had its turn.
        tasks.c.finished_at.is_(None),
        or_(tasks.c.state == _QUEUED, tasks.c.state == _SCHEDULED),
    )


def is_to_ring() -> Sequence[Any]:
    """Return which tasks seem to have lost their doorbell."""
    return (
        tasks.c.state == _QUEUED,
        tasks.c.queue == bindparam("queue", type_=TEXT),
        # Nobody puts a ring off for so long: the clock was another one's, or has been set back.
        or_(
            tasks.c.ring_due_at <= bindparam("now", type_=WHOLE),
            tasks.c.ring_due_at > bindparam("latest", type_=WHOLE),
        ),
        # Whoever answered would be refused.
        tasks.c.queue.not_in(select(paused_queues.c.name)),
    )


def is_orphaned() -> Sequence[Any]:
    """Return which tasks wait for what can no longer happen (I7)."""
    upstream = tasks.alias("upstream")
    firing = tasks.alias("firing")
    goes_on = select(upstream.c.id).where(
        upstream.c.id == tasks.c.upstream_id, upstream.c.finished_at.is_(None)
    )
    fires = select(firing.c.id).where(
        firing.c.id == chords.c.id + literal_column("':fire'"), firing.c.finished_at.is_(None)
    )
    chord_goes_on = select(chords.c.id).where(
        chords.c.id == tasks.c.upstream_id,
        or_(chords.c.remaining > literal_column("0"), fires.exists()),
    )
    return (tasks.c.state == _WAITING, ~goes_on.exists(), ~chord_goes_on.exists())


def _limited(query: Select[Any]) -> Select[Any]:
    # Rows that somebody else is just writing are left for the next sweep.
    return query.limit(bindparam("limit", type_=WHOLE)).with_for_update(of=tasks, skip_locked=True)


def promote_statement() -> Update:
    """Queue scheduled tasks whose time has come."""
    due = _limited(select(tasks.c.id).where(*is_due()).order_by(tasks.c.not_before)).cte("due")
    return (
        update(tasks)
        .where(tasks.c.id == due.c.id)
        .values(
            state=_QUEUED,
            queued_at=bindparam("now", type_=WHOLE),
            ring_due_at=bindparam("ring_due_at", type_=WHOLE),
            rings=literal_column("0"),
            version=tasks.c.version + literal_column("1"),
        )
        .returning(*DOORBELL_COLUMNS)
    )


def expired_statement() -> Select[Any]:
    """Find and lock tasks that nobody began in time."""
    return _limited(select(*HELD_COLUMNS).where(*is_expired()).order_by(tasks.c.id))


def orphans_statement() -> Select[Any]:
    """Find and lock tasks whose turn can no longer come."""
    return _limited(select(*HELD_COLUMNS).where(*is_orphaned()).order_by(tasks.c.id))


def ring_statement() -> Update:
    """Choose queued tasks to be rung, and put off their next ring."""
    chosen = _limited(
        select(tasks.c.id)
        .where(*is_to_ring())
        .order_by(tasks.c.priority.desc(), tasks.c.created_at)
    ).cte("chosen")
    # 2 to the power of the rings so far, by a shift, which both databases have. Ten doublings are
    # beyond every bound, and more would leave the number's bits.
    doublings = case(
        (tasks.c.rings > literal_column("10"), literal_column("10")), else_=tasks.c.rings
    )
    pause = bindparam("again", type_=WHOLE).bitwise_lshift(doublings)
    longest = bindparam("longest", type_=WHOLE)
    return (
        update(tasks)
        .where(tasks.c.id == chosen.c.id)
        .values(
            rings=tasks.c.rings + literal_column("1"),
            ring_due_at=bindparam("now", type_=WHOLE)
            + case((pause > longest, longest), else_=pause),
        )
        .returning(*DOORBELL_COLUMNS, tasks.c.queued_at)
    )


def ring_all_statement() -> Update:
    """Make every queued task of a queue, or of all, due to be rung."""
    queue = bindparam("queue", type_=TEXT)
    return (
        update(tasks)
        .where(tasks.c.state == _QUEUED, or_(tasks.c.queue == queue, queue.is_(null())))
        .values(ring_due_at=bindparam("now", type_=WHOLE))
    )


def ended_since_statement() -> Select[Any]:
    """Find tasks that came between two moments and have ended since another one.

    As many as `limit` says; the rest is found by the moment and the id of the last one.
    """
    begin = bindparam("begin", type_=WHOLE)
    return (
        select(*ENDED_COLUMNS, tasks.c.created_at)
        .where(
            # The only moment of all tasks that has an index.
            tasks.c.created_at >= begin,
            tasks.c.created_at < bindparam("end", type_=WHOLE),
            or_(tasks.c.created_at > begin, tasks.c.id > bindparam("after", type_=TEXT)),
            tasks.c.finished_at >= bindparam("since", type_=WHOLE),
        )
        .order_by(tasks.c.created_at, tasks.c.id)
        .limit(bindparam("limit", type_=WHOLE))
    )
