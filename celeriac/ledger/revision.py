"""Which migration a database has seen, and the way to the newest."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect

from celeriac.errors import LedgerUnavailableError, SettingsError
from celeriac.ledger.database import Database
from celeriac.settings import mask_url

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"

# Written here so that Alembic is imported only to migrate: it costs a third of a start.
NEWEST = "0009"

# Any number, as long as it is always the same: those who migrate one PostgreSQL take turns by it.
_ADVISORY_LOCK = 0xCE1E_51AC

# What a server must say of itself for a commit to mean anything.
_PROMISES = ("fsync", "full_page_writes")


def bring_up_to_date(database: Database) -> None:
    """Make a database's tables those that this program knows.

    Raises:
        SettingsError: The server may lose what it has committed.
        LedgerUnavailableError: It did not answer, or a newer program has been here.
    """
    if database.file is not None:
        # Makes the file, with its rights, before the first connection would.
        database.make_file()
    else:
        database.read(lambda connection: _check_promises(connection, database))
    if database.read(_stored) != NEWEST:
        if database.file is not None:
            database.read(_begin_log)
        database.write(lambda connection: _migrate(connection, database))


def check_up_to_date(database: Database) -> None:
    """See that a database's tables are those that this program knows, and change nothing.

    Raises:
        LedgerUnavailableError: They are not, or it did not answer.
    """
    stored = database.read(_stored)
    if stored == NEWEST:
        return
    if stored is not None and not list(MIGRATIONS.glob(f"versions/{stored}_*.py")):
        raise _newer(stored)
    raise LedgerUnavailableError(
        "it has no tables yet"
        if stored is None
        else f"its tables are of an older version: it is at {stored}, this knows {NEWEST}",
        fix="celeriac up, or a worker of this version, brings it up to date when it starts; "
        "nothing was changed by looking",
    )


def _newer(stored: str | None) -> LedgerUnavailableError:
    return LedgerUnavailableError(
        f"a newer Celeriac has changed the database: it is at {stored}, this knows {NEWEST}",
        fix="install the version that changed it, or a later one; no older one can use it",
    )


def _check_promises(connection: Connection, database: Database) -> None:
    names = ", ".join(f"current_setting('{name}')" for name in _PROMISES)
    answers = connection.exec_driver_sql(f"SELECT {names}").one()
    broken = [name for name, answer in zip(_PROMISES, answers, strict=True) if answer != "on"]
    if broken:
        url = mask_url(database.url.render_as_string(hide_password=True))
        allowed = f"a PostgreSQL whose {' and '.join(broken)} is on"
        raise SettingsError("CELERIAC_DATABASE_URL", url, allowed)


def _begin_log(connection: Connection) -> None:
    # Kept in the file for ever. Readers do not wait for a writer, nor a writer for readers.
    connection.exec_driver_sql("PRAGMA journal_mode=WAL").fetchall()


def _stored(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _migrate(connection: Connection, database: Database) -> None:
    if database.file is None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    # Whoever had the lock before may have done it all.
    before = _stored(connection)
    if before == NEWEST:
        return
    # It tells of its plugins, one by one, to whoever starts for the first time.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, NEWEST)
    except CommandError as error:
        raise _newer(before) from error
    logger.info("the ledger's tables were brought up to date", extra={"revision": NEWEST})
