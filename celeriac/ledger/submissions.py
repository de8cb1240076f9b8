"""Where callers' tasks come in: many submissions in one transaction, each answered for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from celeriac.core.acceptance import (
    Accepted,
    Begun,
    Submission,
    TaskOutcome,
    Together,
    WantedTask,
    task_as_accepted,
)
from celeriac.core.moments import to_micros
from celeriac.core.task import NewTask, Task, Twin
from celeriac.errors import (
    CeleriacError,
    InvalidBatchError,
    InvalidOptionError,
    TaskIdTakenError,
)
from celeriac.ledger.acceptance import Acceptance, Group, Put, Refusal, reserved
from celeriac.ledger.arrivals import Arrivals, Timing, shape_of
from celeriac.ledger.database import Database, RefusedRowError
from celeriac.ledger.incoming import among, words
from celeriac.ledger.records import TASK_COLUMNS, task_from_row
from celeriac.ledger.reservations import Reservations
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import tasks
from celeriac.ledger.transaction import Shape


class _RefusedGroupError(Exception):
    """Some of the tasks that go together cannot be put in."""

    def __init__(self, put: list[Put]) -> None:
        self.put = put


class Submissions:
    """Accepts what callers hand in."""

    def __init__(
        self,
        database: Database,
        arrivals: Arrivals,
        *,
        clock: Callable[[], datetime],
        ring_again: timedelta,
    ) -> None:
        self._database = database
        self._arrivals = arrivals
        self._reservations = Reservations(database)
        self._clock = clock
        self._ring_again = ring_again
        known = select(*TASK_COLUMNS).where(among(database.dialect, tasks.c.id, "ids"))
        self._known = Statement(database, lambda: known)

    def accept(
        self,
        submissions: Sequence[Submission],
        seen: Callable[[Sequence[Accepted | Refusal]], None] = lambda _: None,
        late: Callable[[], Sequence[Submission]] = lambda: (),
    ) -> list[Accepted | Refusal]:
        """Accept submissions in one transaction; what is bad in one harms none of the others.

        A submission that came before under its reservation is not accepted again: its first answer
        comes back. A task whose id is there already, with the same name and arguments, is the one
        that is there.

        Args:
            submissions: What is handed in.
            seen: Called with what is returned as soon as workers see the tasks. What it says may
                be acted upon, and is not to be promised before this returns.
            late: Called at most once, when it is this transaction's turn to write to a file, for
                what has been handed in while it waited. PostgreSQL's writers wait for none.

        Returns:
            For each, in order, and then for those that came late, what became of it. An error
            stands for one of which nothing was accepted; an error among the outcomes of one stands
            for that task alone.

        Raises:
            CommitInDoubtError: Nobody knows whether it is kept.
            LedgerUnavailableError: The database did not answer or would not commit: nothing of
                all this was accepted.
        """
        if not submissions:
            return []
        handed = [*submissions]
        is_turn_awaited = self._database.file is not None

        def act(connection: Connection) -> list[Accepted | Refusal]:
            nonlocal is_turn_awaited
            if is_turn_awaited:
                is_turn_awaited = False
                handed.extend(late())
            timing = Timing.rung_by_caller(self._clock(), self._ring_again)
            names = self._reservations.look(connection, set(reserved(handed)), timing.micros)
            acceptance = Acceptance(handed, names)
            put = put_groups(connection, acceptance.groups, timing)
            answers = acceptance.answer(put)
            rows = acceptance.names_to_keep(answers, put, timing.now)
            self._reservations.keep(connection, rows)
            return answers

        put_groups = self._put_together
        try:
            return self._database.write_ahead(act, seen, shape=_shape_of(submissions))
        except (RefusedRowError, _RefusedGroupError):
            # Nothing was written. Once more, and this time it is found out which of them it is.
            put_groups = self._put_each_group
            return self._database.write_ahead(act, seen, shape=Shape.BY_ID)

    def forget_reservations(self, limit: int = 5000) -> int:
        """Give up reservations whose time is over, at most so many; return how many there were."""
        return self._reservations.forget(to_micros(self._clock()), limit)

    def _put_together(
        self, connection: Connection, groups: Sequence[Group], timing: Timing
    ) -> list[Put]:
        put = self._put_all(connection, [task for group in groups for task in group.tasks], timing)
        place = 0
        for group in groups:
            own = put[place : place + len(group.tasks)]
            place += len(group.tasks)
            if group.is_atomic and _is_any_refused(own):
                raise _RefusedGroupError(_none_of(own))
        return put

    def _put_each_group(
        self, connection: Connection, groups: Sequence[Group], timing: Timing
    ) -> list[Put]:
        return [each for group in groups for each in self._put_group(connection, group, timing)]

    def _put_group(self, connection: Connection, group: Group, timing: Timing) -> list[Put]:
        new = [each.to_new_task() if isinstance(each, Twin) else each for each in group.tasks]
        if not group.is_atomic:
            return self._put_good_ones(connection, new, timing)

        def act() -> list[Put]:
            put = self._put_good_ones(connection, new, timing)
            if _is_any_refused(put):
                raise _RefusedGroupError(_none_of(put))
            return put

        try:
            return self._database.attempt(connection, act)
        except _RefusedGroupError as error:
            return error.put

    def _put_good_ones(
        self, connection: Connection, new: Sequence[NewTask], timing: Timing
    ) -> list[Put]:
        """Put in those tasks that can be kept, and find out which the others are."""
        try:
            return self._database.attempt(connection, lambda: self._put(connection, new, timing))
        except RefusedRowError as error:
            if len(new) == 1:
                return [(InvalidOptionError("task", f"cannot be kept: {error.reason}"), None)]
        middle = len(new) // 2
        return [
            *self._put_good_ones(connection, new[:middle], timing),
            *self._put_good_ones(connection, new[middle:], timing),
        ]

    def _put_all(
        self, connection: Connection, new: Sequence[NewTask | Twin], timing: Timing
    ) -> list[Put]:
        twins = [each for each in new if isinstance(each, Twin)]
        others = [each for each in new if not isinstance(each, Twin)]
        put_twins = self._put_twins(connection, twins, timing)
        put = self._put(connection, others, timing)
        if not twins or not others:
            return put_twins or put
        in_order = iter(put_twins), iter(put)
        return [next(in_order[not isinstance(each, Twin)]) for each in new]

    def _put_twins(
        self, connection: Connection, twins: Sequence[Twin], timing: Timing
    ) -> list[Put]:
        if not twins:
            return []
        doorbells = self._arrivals.put_twins(connection, twins, timing)
        if doorbells is None:
            # Somebody has an id of theirs; the slow way finds out who.
            raise _RefusedGroupError([])
        likes = {id(twin.like): twin.like for twin in twins}
        together = {
            key: Together(like, timing.state_of(like), timing.now) for key, like in likes.items()
        }
        return [
            (Begun(twin, together[id(twin.like)]), bell)
            for twin, bell in zip(twins, doorbells, strict=True)
        ]

    def _put(self, connection: Connection, new: Sequence[NewTask], timing: Timing) -> list[Put]:
        """Put tasks in and return what became of each, in order."""
        if not new:
            return []
        arrived = self._arrivals.put(connection, new, timing)
        known = self._read_known(connection, arrived.known)
        return [
            (known[id(task)], None)
            if id(task) in known
            else (
                task_as_accepted(task, state=timing.state_of(task), created_at=timing.now),
                arrived.doorbells.get(task.id),
            )
            for task in new
        ]

    def _read_known(
        self, connection: Connection, again: Sequence[NewTask]
    ) -> dict[int, TaskOutcome]:
        """Return what is there under the ids of tasks that were put in before."""
        if not again:
            return {}
        ids = words(self._database.dialect, sorted({task.id for task in again}))
        rows = self._known.rows(connection, ids=ids)
        there = {found.id: found for found in map(task_from_row, rows)}
        return {id(task): _same_or_taken(task, there.get(task.id)) for task in again}


def _shape_of(submissions: Sequence[Submission]) -> Shape:
    """Return what is known of the statements that accept submissions, if none is refused."""
    if len(submissions) != 1 or next(reserved(submissions), None) is not None:
        return Shape.BY_ID
    return shape_of(
        [
            each.task if isinstance(each, WantedTask) else each
            for each in submissions[0].tasks
            if not isinstance(each, CeleriacError)
        ]
    )


def _same_or_taken(task: NewTask, there: Task | None) -> TaskOutcome:
    is_same = there is not None and (there.name, there.arguments) == (task.name, task.arguments)
    return there if there is not None and is_same else TaskIdTakenError(task.id)


def _is_any_refused(put: Sequence[Put]) -> bool:
    return any(isinstance(outcome, CeleriacError) for outcome, _ in put)


def _none_of(put: Sequence[Put]) -> list[Put]:
    """Return what became of tasks that were taken back because of others among them."""
    taken_back = InvalidBatchError(())
    return [
        (outcome if isinstance(outcome, CeleriacError) else taken_back, None) for outcome, _ in put
    ]
