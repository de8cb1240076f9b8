"""Groups are sent in lots: many tasks in one transaction, and over one trip from a child.

Celery sends the tasks of a group one by one, and each of them would be a commit of its own. Nobody
can know of the group before it is sent whole, so the commit may wait for its last task.

A chord and its body go with the first lot of its header: alone they would wait for ever, should
their sender die before it sends the header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from celery.canvas import chord, group

from celeriac.core.outcome import NewChord
from celeriac.core.task import NewTask
from celeriac.errors import InvalidOptionError, TaskIdTakenError

# Tasks in one transaction: enough to share its price, few enough to keep no other writer waiting.
_MOST = 500


@dataclass(frozen=True, slots=True)
class _Sent:
    """One task that was sent: its rows, and what to tell once they are committed."""

    rows: Sequence[NewTask]
    tell: Callable[[], None]
    # Of which these are the bodies.
    chords: Sequence[NewChord] = ()


Submit = Callable[[Sequence[NewTask], Sequence[NewChord]], None]


class Lot:
    """Tasks of a group that were sent and are not yet committed."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._sent: list[_Sent] = []

    def add(self, rows: Sequence[NewTask], tell: Callable[[], None]) -> None:
        """Take a task; commits all that were taken when they are many.

        Args:
            rows: The task's own row, and those of what waits for it.
            tell: Called when they are committed.
        """
        self._sent.append(_Sent(rows, tell))
        if len(self._sent) >= _MOST:
            self.commit()

    def add_chord(self, sent: NewChord, body: Sequence[NewTask]) -> None:
        """Take a chord with the rows that wait for it; the tasks of its header come next."""
        self._sent.append(_Sent(body, lambda: None, (sent,)))

    def drop_headless(self) -> None:
        """Forget chords of whose headers nothing could be sent."""
        while self._sent and self._sent[-1].chords:
            self._sent.pop()

    def commit(self) -> None:
        """Commit what was taken, in the order in which it was sent.

        Raises:
            TaskIdTakenError: A task's id is another one's; those sent before it are committed.
            InvalidOptionError: A value cannot be kept; those sent before it are committed.
            LedgerUnavailableError: The ledger did not answer; none of these is committed.
        """
        sent, self._sent = self._sent, []
        if not sent:
            return
        try:
            self._submit(
                [row for each in sent for row in each.rows],
                [made for each in sent for made in each.chords],
            )
        except (TaskIdTakenError, InvalidOptionError):
            # All or none; but whoever sends one by one has sent those before the bad one.
            for each in sent:
                self._submit(each.rows, each.chords)
                each.tell()
            return
        for each in sent:
            each.tell()


_current: ContextVar[Lot | None] = ContextVar("celeriac_lot", default=None)


def current_lot() -> Lot | None:
    """Return the lot of the group that is sent here and now, None outside of one."""
    return _current.get()


@contextmanager
def gathering(submit: Submit) -> Iterator[None]:
    """Gather what is sent in here; a group within a group is part of the outer one's lot."""
    if _current.get() is not None:
        yield
        return
    lot = Lot(submit)
    token = _current.set(lot)
    try:
        yield
    except BaseException:
        lot.drop_headless()
        raise
    finally:
        _current.reset(token)
        # Also when a task could not be sent: those before it were.
        lot.commit()


def install() -> None:
    """Have groups and chords sent in lots, by apps that run on the ledger."""
    celerys = group._apply_tasks  # noqa: SLF001 - Celery has no other seam
    if getattr(celerys, "sends_lots", False):
        return

    def apply_tasks(
        self: Any, tasks: Any, producer: Any = None, app: Any = None, p: Any = None, **options: Any
    ) -> Any:
        app = app or self.app
        engine = getattr(app, "celeriac", None)
        if engine is None:
            return celerys(self, tasks, producer, app, p, **options)
        # One producer for all, as Celery does it: it is still there when the lot is committed.
        with app.producer_or_acquire(producer) as sender, gathering(engine.road.submit):
            return list(celerys(self, tasks, sender, app, p, **options))

    apply_tasks.sends_lots = True  # type: ignore[attr-defined]
    group._apply_tasks = apply_tasks  # noqa: SLF001
    _install_chords()


def _install_chords() -> None:
    celerys = chord.run

    def run(
        self: Any, header: Any, body: Any, partial_args: Any, app: Any = None, **options: Any
    ) -> Any:
        engine = getattr(app or self._get_app(body), "celeriac", None)
        if engine is None:
            return celerys(self, header, body, partial_args, app, **options)
        with gathering(engine.road.submit):
            return celerys(self, header, body, partial_args, app, **options)

    chord.run = run
