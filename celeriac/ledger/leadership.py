"""Who leads: one row for each thing that has one leader, and a number that says it still lives."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, bindparam, literal_column, select, update

from celeriac.ledger.database import Database
from celeriac.ledger.incoming import insert_into
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import leases
from celeriac.ledger.transaction import Shape


class LeaseView(NamedTuple):
    """A leadership as somebody saw it."""

    # Empty when nobody leads.
    holder: str
    # Rises while the holder lives; whoever watches it stand still may take over.
    sequence: int


NOBODY = LeaseView(holder="", sequence=0)


class Leadership:
    """Leaderships by name. No clock is read here: time is whoever watches the sequence."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        name: BindParameter[str] = bindparam("lease")
        holder: BindParameter[str] = bindparam("by")
        one: ColumnElement[int] = literal_column("1")
        view = select(leases.c.holder, leases.c.sequence).where(leases.c.name == name)
        begin = (
            insert_into(dialect, leases)
            .values(name=name, holder=holder, sequence=one)
            .on_conflict_do_nothing()
        )
        take = (
            update(leases)
            .where(leases.c.name == name, leases.c.sequence == bindparam("seen"))
            .values(holder=holder, sequence=leases.c.sequence + one)
        )
        keep = (
            update(leases)
            .where(leases.c.name == name, leases.c.holder == holder)
            .values(sequence=leases.c.sequence + one)
        )
        # The row stays: a sequence that began again could be mistaken for one seen before.
        leave = (
            update(leases)
            .where(leases.c.name == name, leases.c.holder == holder)
            .values(holder=literal_column("''"), sequence=leases.c.sequence + one)
        )
        self._view = Statement(database, lambda: view)
        self._begin = Statement(database, lambda: begin)
        self._take = Statement(database, lambda: take)
        self._keep = Statement(database, lambda: keep)
        self._leave = Statement(database, lambda: leave)

    def leadership(self, name: str) -> LeaseView:
        """Return who leads."""
        row = self._database.read(lambda connection: self._view.first(connection, lease=name))
        return NOBODY if row is None else LeaseView(*row)

    def take_leadership(self, name: str, holder: str, seen_sequence: int) -> bool:
        """Lead from now on, if the leadership is still as it was seen; whether it was."""

        def act(statement: Statement, **values: object) -> bool:
            return bool(
                self._database.write(
                    lambda connection: statement.count(connection, lease=name, by=holder, **values)
                )
            )

        if seen_sequence == NOBODY.sequence:
            return act(self._begin)
        return act(self._take, seen=seen_sequence)

    def keep_leadership(self, name: str, holder: str) -> bool:
        """Show that the leader lives; False when somebody else leads by now."""
        # No leader outlives the power cut that would take it back.
        count = self._database.write_passing(
            lambda connection: self._keep.count(connection, lease=name, by=holder),
            lambda _: False,
            shape=Shape.ALONE,
        )
        return bool(count)

    def leave_leadership(self, name: str, holder: str) -> None:
        """Stop leading, so that another one need not wait; no effect for whoever does not lead."""
        self._database.write(
            lambda connection: self._leave.count(connection, lease=name, by=holder)
        )
