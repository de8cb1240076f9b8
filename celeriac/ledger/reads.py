"""What can be asked of the tasks. Nothing here writes, and nothing here waits for a writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from celeriac.core.moments import to_micros
from celeriac.core.outcome import NewChord
from celeriac.core.page import MAX_PAGE_SIZE, Cursor, Page, TaskFilter
from celeriac.core.state import FINAL_STATES, TaskState
from celeriac.core.task import Attempt, Doorbell, Glance, Task, TaskId
from celeriac.errors import InvalidOptionError, TaskNotFoundError
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import among, has_word, is_sound, words
from celeriac.ledger.records import (
    ATTEMPT_COLUMNS,
    DOORBELL_COLUMNS,
    TASK_COLUMNS,
    attempt_from_row,
    doorbell_from_row,
    task_from_row,
)
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import attempts, chords, tasks
from celeriac.ledger.transaction import Shape

_UNFINISHED = tuple(state.value for state in TaskState if state not in FINAL_STATES)

# Further nobody counts who waits in a queue.
MOST_COUNTED = 1000
_MOST_WALKED: ColumnElement[int] = literal_column(str(MOST_COUNTED + 1))


class TaskReads:
    """Looks tasks up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        by_id = select(*TASK_COLUMNS).where(tasks.c.id == bindparam("id"))
        some = select(*TASK_COLUMNS).where(among(dialect, tasks.c.id, "ids"))
        queued = select(*DOORBELL_COLUMNS, tasks.c.state).where(among(dialect, tasks.c.id, "ids"))
        chord = select(chords.c.id, chords.c.size, chords.c.body, chords.c.queue).where(
            chords.c.id == bindparam("id")
        )
        unfinished = union_all(*(_count_statement(state) for state in _UNFINISHED))
        self._unfinished = Statement(database, lambda: unfinished)
        self._newest = Statement(database, _newest_statement)
        self._find = Statement(database, lambda: by_id)
        self._find_many = Statement(database, lambda: some)
        self._queued = Statement(database, lambda: queued)
        self._attempts = Statement(database, _attempts_statement)
        self._chord = Statement(database, lambda: chord)
        self._children = Statement(database, _children_statement)
        self._before = Statement(database, _before_statement)

    def find(self, task_id: str) -> Task | None:
        """Return a task, None when there is none.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        if not is_sound(task_id):
            return None
        row = self._database.read(
            lambda connection: self._find.first(connection, id=task_id), shape=Shape.BY_ID
        )
        return None if row is None else task_from_row(row)

    def get(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            TaskNotFoundError: No task has this id.
            LedgerUnavailableError: The database did not answer.
        """
        task = self.find(task_id)
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    def find_many(self, ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those of some tasks that exist, by their ids."""
        sound = [task_id for task_id in ids if is_sound(task_id)]
        if not sound:
            return {}
        given = words(self._database.dialect, sound)
        rows = self._database.read(
            lambda connection: self._find_many.rows(connection, ids=given), shape=Shape.BY_ID
        )
        return {task.id: task for task in map(task_from_row, rows)}

    def queued_doorbells(self, ids: Sequence[TaskId]) -> list[Doorbell]:
        """Return the doorbells of those of some tasks that are queued.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        sound = [task_id for task_id in ids if is_sound(task_id)]
        if not sound:
            return []
        given = words(self._database.dialect, sound)
        rows = self._database.read(lambda connection: self._queued.rows(connection, ids=given))
        # Decided here: told of it, PostgreSQL might walk through all that is queued.
        return [doorbell_from_row(row) for row in rows if row.state == TaskState.QUEUED.value]

    def count_unfinished(self) -> dict[tuple[str, str], int]:
        """Return how many tasks have not ended, by queue and state.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        rows = self._database.read(lambda connection: self._unfinished.rows(connection))
        return {(row[0], row[1]): row[2] for row in rows}

    def count_before(self, task: Task) -> int:
        """Return how many tasks of its queue are queued and go before a queued one.

        Counted no further than `MOST_COUNTED` + 1, which means more than so many.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        given = {
            "id": task.id,
            "queue": task.queue,
            "priority": task.priority,
            "created_at": to_micros(task.created_at),
        }
        row = self._database.read(lambda connection: self._before.first(connection, **given))
        return min(int(row[0]), MOST_COUNTED + 1)

    def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the ended attempts of a task, first to last."""
        if not is_sound(task_id):
            return ()
        rows = self._database.read(lambda connection: self._attempts.rows(connection, id=task_id))
        return tuple(attempt_from_row(row) for row in rows)

    def find_chord(self, chord_id: str) -> NewChord | None:
        """Return a chord as it was made, None when there is none."""
        if not is_sound(chord_id):
            return None
        row = self._database.read(lambda connection: self._chord.first(connection, id=chord_id))
        return None if row is None else NewChord(id=row[0], size=row[1], body=row[2], queue=row[3])

    def children_of(self, task_id: str) -> tuple[TaskId, ...]:
        """Return the ids of what a task has sent and what follows it, in the order of coming."""
        if not is_sound(task_id):
            return ()
        rows = self._database.read(lambda connection: self._children.rows(connection, id=task_id))
        return tuple(TaskId(row[0]) for row in rows)

    def glance_at_newest(self, submitted_by: str) -> tuple[Glance, ...]:
        """Return the newest tasks of a submitter, newest first, as many as a page may have.

        Raises:
            LedgerUnavailableError: The database did not answer.
        """
        if not is_sound(submitted_by):
            return ()
        rows = self._database.read(
            lambda connection: self._newest.rows(connection, submitted_by=submitted_by)
        )
        return tuple(
            Glance(id=TaskId(row[0]), name=row[1], state=TaskState(row[2])) for row in rows
        )

    def list(self, wanted: TaskFilter, *, after: Cursor | None, limit: int) -> Page[Task]:
        """Return one page of tasks, newest first.

        Args:
            wanted: Only tasks that match every given field.
            after: Where the page before ended; None starts at the newest.
            limit: Tasks on the page, 1 to 200.

        Raises:
            InvalidOptionError: The limit is out of bounds.
            LedgerUnavailableError: The database did not answer.
        """
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise InvalidOptionError("limit", f"must be 1 to {MAX_PAGE_SIZE}")
        asked = (wanted.name, wanted.queue, wanted.tag, wanted.submitted_by)
        if not all(is_sound(text) for text in asked if text is not None):
            return Page(items=(), next=None)
        # One more than asked for: whether there is a next page is known without counting.
        query = _listing(self._database.dialect, wanted, after).limit(limit + 1)
        rows = self._database.read(lambda connection: connection.execute(query).fetchall())
        found = tuple(task_from_row(row) for row in rows[:limit])
        if len(rows) <= limit:
            return Page(items=found, next=None)
        return Page(items=found, next=Cursor(created_at=found[-1].created_at, id=found[-1].id))


def _count_statement(state: str) -> Select[Any]:
    # One for each state, so that each is answered from that state's own partial index.
    word: ColumnElement[str] = literal_column(f"'{state}'")
    return (
        select(tasks.c.queue, word.label("state"), func.count())
        .where(tasks.c.state == word)
        .group_by(tasks.c.queue)
    )


def _newest_statement() -> Select[Any]:
    return (
        select(tasks.c.id, tasks.c.name, tasks.c.state)
        .where(tasks.c.submitted_by == bindparam("submitted_by"))
        .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
        .limit(literal_column(str(MAX_PAGE_SIZE)))
    )


def _before_statement() -> Select[Any]:
    # The word itself: a bound one would not match the partial index. One walk for those of higher
    # priority and one for those of its own, each in the order of the index and to its bound.
    queued = and_(tasks.c.state == literal_column("'queued'"), tasks.c.queue == bindparam("queue"))
    moment: ColumnElement[int] = bindparam("created_at")
    higher = tasks.c.priority > bindparam("priority")
    earlier = and_(
        tasks.c.priority == bindparam("priority"),
        tasks.c.created_at <= moment,
        # Those of one batch came in one moment.
        or_(tasks.c.created_at < moment, tasks.c.id < bindparam("id")),
    )
    one: ColumnElement[int] = literal_column("1")
    walks = [
        select(one).select_from(tasks).where(queued, which).limit(_MOST_WALKED)
        for which in (higher, earlier)
    ]
    counts = [select(func.count()).select_from(each.subquery()).scalar_subquery() for each in walks]
    return select(counts[0] + counts[1])


def _children_statement() -> Select[Any]:
    return (
        select(tasks.c.id)
        .where(tasks.c.parent_id == bindparam("id"))
        .order_by(tasks.c.created_at, tasks.c.id)
    )


def _attempts_statement() -> CompoundSelect[Any]:
    earlier = select(*ATTEMPT_COLUMNS).where(attempts.c.task_id == bindparam("id"))
    last = select(
        tasks.c.id,
        tasks.c.attempt,
        tasks.c.worker,
        tasks.c.started_at,
        tasks.c.finished_at,
        tasks.c.last_ending,
        tasks.c.error,
    ).where(tasks.c.id == bindparam("id"), tasks.c.last_ending.is_not(None))
    return union_all(earlier, last).order_by(literal_column("2"))


def _listing(dialect: str, wanted: TaskFilter, after: Cursor | None) -> Select[Any]:
    query = select(*TASK_COLUMNS).order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    if wanted.states:
        query = query.where(tasks.c.state.in_([state.value for state in wanted.states]))
    if wanted.name is not None:
        query = query.where(tasks.c.name == wanted.name)
    if wanted.queue is not None:
        query = query.where(tasks.c.queue == wanted.queue)
    if wanted.submitted_by is not None:
        query = query.where(tasks.c.submitted_by == wanted.submitted_by)
    if wanted.since is not None:
        query = query.where(tasks.c.created_at >= to_micros(wanted.since))
    if wanted.tag is not None:
        # The first condition spares most rows the look into their tags.
        some = tasks.c.tags != literal_column("'[]'")
        query = query.where(some, has_word(dialect, tasks.c.tags, wanted.tag))
    if after is not None:
        moment = to_micros(after.created_at)
        # Not a row comparison: the planner would not use the index's descending order for it.
        query = query.where(
            tasks.c.created_at <= moment,
            or_(
                tasks.c.created_at < moment,
                and_(tasks.c.created_at == moment, tasks.c.id < after.id),
            ),
        )
    return query
