"""What every ledger must do is asked of both: the fixture `ledger` is an empty one of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from celeriac.ledger.open import Ledger, open_ledger
from celeriac.ledger.tables import metadata
from tests.contract.ledger.desk import Desk
from tests.fakes import Clock
from tests.servers.postgres import PostgresServer

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL with a database for whoever asks."""
    server = PostgresServer()
    server.start()
    yield server
    # Not in good order: its last checkpoint would write for seconds what is deleted next.
    server.kill()
    server.remove()


@pytest.fixture(scope="session")
def shared_database(postgres: PostgresServer) -> str:
    """A database with our tables; emptying them takes milliseconds, a new one half a second."""
    url = postgres.create_database()
    open_ledger(url).close()
    return url


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with our tables, to be copied: that takes a millisecond, to migrate a hundred."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty ledger is."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("made_file"), tmp_path / "ledger.db")
        yield f"sqlite:///{path}"
        return
    url: str = request.getfixturevalue("shared_database")
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        for table in metadata.tables:
            connection.execute(f'DELETE FROM "{table}"'.encode())


@pytest.fixture(params=KINDS)
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger will be that this test may spoil: there is nothing yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'own' / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
def clock() -> Clock:
    """What time it is for the ledger."""
    return Clock()


@pytest.fixture
def ledger(ledger_url: str, clock: Clock) -> Iterator[Ledger]:
    """An empty ledger."""
    ledger = open_ledger(ledger_url, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def desk(ledger: Ledger, clock: Clock) -> Desk:
    """A worker's place at the ledger, joined, serving `default`."""
    return Desk(ledger, clock)
