"""The databases' drivers themselves, for what is run thousands of times a second.

SQLAlchemy makes four objects and calls forty functions for each statement, which takes longer than
SQLite takes for a short one. It still writes the statements, keeps the connections and says what an
error is. PostgreSQL is spoken to without its driver's cursor, too: see `libpq`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from celeriac.ledger import libpq


def execute(connection: Connection, text: str, values: Any = None) -> Any:
    """Run a statement and return the driver's cursor, or what can be read like one.

    Args:
        connection: Where.
        text: The statement as the driver has it.
        values: For its parameters, as the driver has them.

    Raises:
        DBAPIError: What the driver raised, as SQLAlchemy would have said it.
    """
    driver: Any = connection.connection.driver_connection
    dialect: Any = connection.dialect
    base = dialect.loaded_dbapi.Error
    try:
        if dialect.name == "postgresql":
            return libpq.run(connection, driver, text, values)
        return driver.execute(text) if values is None else driver.execute(text, values)
    except base as error:
        if dialect.is_disconnect(error, driver, None):
            # Raises: it finds the connection dead, and lets go of all that are as old.
            connection.exec_driver_sql(_NOTHING)
        said: Any = DBAPIError.instance(text, None, error, base, dialect=dialect)
        raise said from error


_NOTHING = "SELECT 1"
