"""Where a ledger is, and what its connections are told before they are used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from celeriac.errors import SettingsError
from celeriac.settings import mask_url

_ALLOWED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
# How long a write waits for its turn before the caller hears that the ledger is away.
TURN_SECONDS = 10.0
# A commit that is not on the disk is none, whatever the server's or the role's default.
# A plan that was kept from the time when a table was small would read all of it when it is large.
_POSTGRESQL_SESSION = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local');
SET lock_timeout = '10s';
SET statement_timeout = '30s';
SET idle_in_transaction_session_timeout = '60s';
SET plan_cache_mode = force_custom_plan;
"""


def read_url(text: str) -> URL:
    """Return a ledger's URL with its driver named and its file's path whole.

    Raises:
        SettingsError: It is of no kind we know.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SettingsError("CELERIAC_DATABASE_URL", "***", _ALLOWED) from error
    if url.drivername.partition("+")[0] in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database and url.database != ":memory:":
        return url.set(database=str(Path(url.database).absolute()))
    raise SettingsError("CELERIAC_DATABASE_URL", mask_url(text), _ALLOWED)


def make_engine(url: URL) -> Engine:
    """Return an engine whose connections keep what a ledger promises.

    Args:
        url: A ledger's URL as `read_url` gives it.
    """
    return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgresql_engine(url)


def make_file(path: Path) -> None:
    """Make an empty file for a ledger, for nobody else's eyes; one that is there stays as it is."""
    # The log beside it gets the same rights from SQLite. Nobody else may read arguments or results.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Never opened where it exists: closing it again would drop every POSIX lock that this
        # process holds on it, SQLite's own among them, and another process that leaves would take
        # itself for the last one and delete the log under the others.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


def identity_of(path: str) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None when there is none."""
    try:
        # Asked before each statement: a `Path` would take longer to make.
        facts = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=8,
        max_overflow=32,
        pool_timeout=10,
        # The connection used last has its pages cached.
        pool_use_lifo=True,
        connect_args={"timeout": TURN_SECONDS, "cached_statements": 512},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        # FULL: what was promised outlives the machine's power, not only this process.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA cache_size=-16384")
        cursor.execute("PRAGMA temp_store=MEMORY")
        # Ids are random, so that each batch touches many pages of their index; copying these back
        # into the file less often copies most of them once instead of many times.
        cursor.execute("PRAGMA wal_autocheckpoint=4000")
        cursor.execute("PRAGMA journal_size_limit=67108864")
        cursor.close()

    return engine


def _postgresql_engine(url: URL) -> Engine:
    # A peer that vanished without a word is noticed within about 15 seconds.
    patience = {
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15000,
    }
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=8,
        max_overflow=8,
        pool_timeout=10,
        pool_use_lifo=True,
        # The driver shall prepare nothing: `libpq` does, and the driver drops what it prepared, and
        # ours with it, at each ROLLBACK.
        connect_args={
            "prepare_threshold": None,
            # `libpq` writes UTF-8. What is usual for the database or in the environment may be
            # another one, and a text would be kept as other letters than were said.
            "client_encoding": "utf8",
            **{key: value for key, value in patience.items() if key not in url.query},
        },
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # A commit that is not on the disk is none, whatever the server's or the role's default.
        connection.execute(_POSTGRESQL_SESSION)

    return engine
