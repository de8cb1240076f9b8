"""SQLite's driver itself, for what is run thousands of times a second.

SQLAlchemy makes four objects and calls forty functions for each statement, which takes longer than
SQLite takes for a short one. A server's answer costs more than that, and its driver is left to
SQLAlchemy, which knows what a lost connection is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

# What the driver raises, where SQLAlchemy has not made its own error of it.
DRIVER_ERROR = sqlite3.Error
DRIVER_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError)


def execute(connection: Connection, text: str, values: Sequence[Any] = ()) -> Any:
    """Run a statement on a SQLite connection and return the driver's cursor."""
    driver: Any = connection.connection.driver_connection
    return driver.execute(text, values)
