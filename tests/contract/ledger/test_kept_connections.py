"""Connections that are kept beside SQLAlchemy's pool, and when they are not."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import QueuePool, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from celeriac.ledger.connections import Connections
from celeriac.ledger.open import open_ledger
from tests.contract.ledger.desk import new
from tests.servers.postgres import PostgresServer


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    """Connections of a pool that has two at the most."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'x.db'}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=1,
        pool_timeout=20,
        isolation_level="AUTOCOMMIT",
    )
    made = Connections(engine)
    yield made
    made.close()


def driver_of(connection: Any) -> sqlite3.Connection:
    found: sqlite3.Connection = connection.connection.driver_connection
    return found


def test_what_was_used_last_is_used_next_without_asking_the_pool(connections: Connections) -> None:
    with connections.use() as first, connections.use() as second:
        pass
    checkouts: list[Any] = []
    event.listen(connections.engine, "checkout", lambda *facts: checkouts.append(facts))

    with connections.use() as again, connections.use() as other:
        assert (again, other) == (first, second)

    assert checkouts == []


def test_what_is_in_a_transaction_goes_to_the_pool_which_ends_it(connections: Connections) -> None:
    with connections.use() as connection:
        connection.execute(text("SELECT 1"))
        assert connection.in_transaction()

    assert connection.closed
    with connections.use() as another:
        assert another is not connection
        assert not another.in_transaction()


def test_what_is_in_use_when_all_are_closed_is_closed_when_it_comes_back(
    connections: Connections,
) -> None:
    with connections.use() as connection:
        driver = driver_of(connection)
        connections.close()
        driver.execute("SELECT 1")

    with pytest.raises(sqlite3.ProgrammingError):
        driver.execute("SELECT 1")
    with connections.use() as another:
        driver_of(another).execute("SELECT 1")


def test_a_connection_on_which_something_failed_is_not_kept(connections: Connections) -> None:
    with pytest.raises(KeyError), connections.use() as connection:
        raise KeyError

    assert connection.closed


def test_whoever_waits_for_the_pool_gets_what_comes_back(connections: Connections) -> None:
    got = threading.Event()

    def want() -> None:
        with connections.use():
            got.set()

    with ThreadPoolExecutor(1) as threads, connections.use():
        with connections.use():
            third = threads.submit(want)
            while not connections._asking:
                pass
        # Kept for nobody, it would be waited for in vain.
        third.result(timeout=10)

    assert got.is_set()


def test_no_more_are_kept_than_the_pool_would_keep(tmp_path: Path) -> None:
    connections = Connections(create_engine(f"sqlite:///{tmp_path / 'x.db'}", max_overflow=20))
    taken = [connections.take() for _ in range(12)]

    for each in taken:
        connections.give_back(each, taken_after=0)

    assert [each.closed for each in taken] == [False] * 8 + [True] * 4
    connections.close()
    assert all(each.closed for each in taken)


def test_those_that_died_with_one_of_them_are_let_go() -> None:
    with PostgresServer() as server:
        ledger = open_ledger(server.create_database())
        connections = ledger._database._connections
        taken = [connections.take() for _ in range(6)]
        for each in taken:
            connections.give_back(each, taken_after=0)

        server.restart()
        # In fewer tries than there are dead connections.
        ledger.tasks.insert([new("after")])

        assert ledger.tasks.find("after") is not None
        assert all(each.closed for each in taken)
        ledger.close()


def test_an_error_of_the_driver_leaves_no_transaction_behind(connections: Connections) -> None:
    def fail() -> None:
        with connections.use() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT nonsense")

    with pytest.raises(DBAPIError):
        fail()

    with connections.use() as another:
        assert not driver_of(another).in_transaction
