"""Who may sign in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, literal_column, select, update

from celeriac.core.moments import from_micros, to_micros
from celeriac.core.user import Role, User
from celeriac.errors import InvalidOptionError, UserExistsError, UserNotFoundError
from celeriac.ledger.database import Database
from celeriac.ledger.incoming import among, insert_into, is_sound, words
from celeriac.ledger.statement import Statement
from celeriac.ledger.tables import users


class Users:
    """Every user there is."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        dialect = database.dialect
        columns = {
            column.name: bindparam(f"new_{column.name}", type_=column.type) for column in users.c
        }
        add = (
            insert_into(dialect, users)
            .values(columns)
            .on_conflict_do_nothing()
            .returning(users.c.name)
        )
        find = select(*users.c).where(users.c.name == bindparam("user"))
        some = select(*users.c).where(among(dialect, users.c.name, "names"))
        everyone = select(*users.c).order_by(users.c.name)
        # Every token given out before names a lower number and is no longer good.
        outdated = users.c.token_version + literal_column("1")
        mine = users.c.name == bindparam("user")
        password = (
            update(users)
            .where(mine)
            .values(password_hash=bindparam("new_hash"), token_version=outdated)
        )
        replace = password.where(users.c.password_hash == bindparam("old_hash"))
        rehash = (
            update(users)
            .where(mine, users.c.password_hash == bindparam("old_hash"))
            .values(password_hash=bindparam("new_hash"))
        )
        role = update(users).where(mine).values(role=bindparam("new_role"), token_version=outdated)
        disabled = (
            update(users)
            .where(mine)
            .values(
                is_disabled=bindparam("disabled", type_=users.c.is_disabled.type),
                token_version=outdated,
            )
        )
        sign_out = update(users).where(mine).values(token_version=outdated)
        self._add = Statement(database, lambda: add)
        self._find = Statement(database, lambda: find)
        self._find_many = Statement(database, lambda: some)
        self._everyone = Statement(database, lambda: everyone)
        self._password = Statement(database, lambda: password)
        self._replace = Statement(database, lambda: replace)
        self._rehash = Statement(database, lambda: rehash)
        self._role = Statement(database, lambda: role)
        self._disabled = Statement(database, lambda: disabled)
        self._sign_out = Statement(database, lambda: sign_out)

    def add(self, name: str, password_hash: str, role: Role) -> User:
        """Add a user.

        Raises:
            UserExistsError: A user of this name exists.
            InvalidOptionError: The name cannot be kept.
        """
        if not is_sound(name):
            raise InvalidOptionError("name", "cannot be kept")
        user = User(
            name=name,
            role=role,
            password_hash=password_hash,
            token_version=1,
            is_disabled=False,
            created_at=self._clock(),
        )

        def act(connection: Connection) -> bool:
            row = self._add.first(
                connection,
                new_name=name,
                new_password_hash=password_hash,
                new_role=role.value,
                new_token_version=user.token_version,
                new_is_disabled=False,
                new_created_at=to_micros(user.created_at),
            )
            return row is not None

        if not self._database.write(act):
            raise UserExistsError(name)
        return user

    def find(self, name: str) -> User | None:
        """Return a user, None when nobody has this name."""
        if not is_sound(name):
            return None
        row = self._database.read(lambda connection: self._find.first(connection, user=name))
        return None if row is None else _user_from_row(row)

    def find_many(self, names: Collection[str]) -> dict[str, User]:
        """Return those users of some names that exist."""
        sound = words(self._database.dialect, sorted(filter(is_sound, names)))
        rows = self._database.read(lambda connection: self._find_many.rows(connection, names=sound))
        return {user.name: user for user in map(_user_from_row, rows)}

    def list(self) -> tuple[User, ...]:
        """Return every user, by name."""
        return tuple(_user_from_row(row) for row in self._database.read(self._everyone.rows))

    def set_password(self, name: str, password_hash: str) -> None:
        """Give a user another password and end every token given out before.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._change(self._password, name, new_hash=password_hash)

    def replace_password(self, name: str, old_hash: str, new_hash: str) -> bool:
        """Give a user another password, as `set_password`, if theirs is still the old one."""
        return bool(
            self._database.write(
                lambda connection: self._replace.count(
                    connection, user=name, old_hash=old_hash, new_hash=new_hash
                )
            )
        )

    def rehash_password(self, name: str, old_hash: str, new_hash: str) -> None:
        """Keep the same password under a stronger hash, if it has not been changed meanwhile."""
        self._database.write(
            lambda connection: self._rehash.count(
                connection, user=name, old_hash=old_hash, new_hash=new_hash
            )
        )

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role and end every token given out before.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._change(self._role, name, new_role=role.value)

    def disable(self, name: str) -> None:
        """Let a user sign in no more and end every token given out before.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._change(self._disabled, name, disabled=True)

    def enable(self, name: str) -> None:
        """Let a disabled user sign in again.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._change(self._disabled, name, disabled=False)

    def sign_out(self, name: str) -> None:
        """End every token given out to a user.

        Raises:
            UserNotFoundError: Nobody has this name.
        """
        self._change(self._sign_out, name)

    def _change(self, statement: Statement, name: str, **values: object) -> None:
        if not is_sound(name):
            raise UserNotFoundError(name)
        count = self._database.write(
            lambda connection: statement.count(connection, user=name, **values)
        )
        if not count:
            raise UserNotFoundError(name)


def _user_from_row(row: Any) -> User:
    return User(
        name=row.name,
        role=Role(row.role),
        password_hash=row.password_hash,
        token_version=row.token_version,
        is_disabled=bool(row.is_disabled),
        created_at=from_micros(row.created_at),
    )
