"""Statements that go to PostgreSQL without its driver's cursor."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from celeriac.ledger import libpq
from celeriac.ledger.driver import execute
from celeriac.ledger.open import Ledger
from celeriac.ledger.transaction import Shape

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def on(ledger: Ledger, act: Callable[[Connection], Any]) -> Any:
    """Do something on a connection, the same each time."""
    return ledger._database.read(act, shape=Shape.BY_ID)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("TEXT", "snow ☃, 'quotes', \"more\", back\\slash, 100%, %(name)s"),
        ("TEXT", ""),
        ("TEXT", None),
        ("BIGINT", -(2**63)),
        ("BIGINT", 1),
        ("BOOLEAN", True),
        ("BOOLEAN", False),
        ("DOUBLE PRECISION", 0.1),
        ("DOUBLE PRECISION", 1e300),
        ("TEXT[]", ["a", "", 'with "quotes"', "back\\slash", "comma, {brace}", "NULL"]),
        ("TEXT[]", []),
    ],
)
def test_a_value_comes_back_as_it_went(ledger: Ledger, kind: str, value: object) -> None:
    text = f"SELECT CAST(%(value)s AS {kind}), '50%%'"
    rows = on(ledger, lambda connection: execute(connection, text, {"value": value}).fetchall())
    assert rows == [(value, "50%")]


def test_a_text_that_would_end_too_early_is_refused(ledger: Ledger) -> None:
    def ask(connection: Connection) -> None:
        with pytest.raises(ValueError, match="NUL"):
            execute(connection, "SELECT CAST(%(value)s AS TEXT)", {"value": "a\0b"})

    on(ledger, ask)


def test_a_parameter_is_one_however_often_it_stands_there(ledger: Ledger) -> None:
    text = "SELECT CAST(%(b)s AS BIGINT) - CAST(%(a)s AS BIGINT) - CAST(%(b)s AS BIGINT)"
    found = on(ledger, lambda each: execute(each, text, {"a": 3, "b": 5, "c": 7}).fetchone())
    assert found == (-3,)


def test_more_goes_out_and_comes_in_than_a_socket_holds(ledger: Ledger) -> None:
    long = "x" * 20_000_000
    text = "SELECT CAST(%(value)s AS TEXT)"
    (row,) = on(ledger, lambda connection: execute(connection, text, {"value": long}).fetchall())
    assert row == (long,)


def test_what_was_prepared_outlives_a_rollback(ledger: Ledger) -> None:
    text = "SELECT CAST(%(value)s AS BIGINT)"

    def ask(connection: Connection) -> tuple[int]:
        execute(connection, text, {"value": 1})
        # By SQLAlchemy and the driver, as a savepoint is.
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("ROLLBACK")
        found: tuple[int] = execute(connection, text, {"value": 2}).fetchone()
        return found

    assert on(ledger, ask) == (2,)


def test_there_may_be_more_statements_than_are_prepared(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libpq, "_MOST_PREPARED", 3)

    def ask(connection: Connection) -> tuple[list[int], int]:
        texts = [f"SELECT {number} + CAST(%(value)s AS BIGINT)" for number in range(5)]
        found = [execute(connection, each, {"value": 1}).fetchone()[0] for each in texts * 2]
        kept = "SELECT count(*) FROM pg_prepared_statements"
        return found, connection.exec_driver_sql(kept).scalar_one()

    found, kept = on(ledger, ask)
    assert found == [1, 2, 3, 4, 5] * 2
    assert kept <= 3


def test_an_error_is_what_the_driver_would_have_raised(ledger: Ledger) -> None:
    def ask(connection: Connection) -> tuple[str, int]:
        with pytest.raises(ProgrammingError) as raised:
            execute(connection, "SELECT CAST(%(value)s AS BIGINT) FROM nowhere", {"value": 1})
        # And the connection is as good as before.
        after = execute(connection, "SELECT 1").fetchone()[0]
        return getattr(raised.value.orig, "sqlstate", ""), after

    assert on(ledger, ask) == ("42P01", 1)


def test_a_value_that_the_server_cannot_read_is_refused_by_it(ledger: Ledger) -> None:
    def ask(connection: Connection) -> str | None:
        with pytest.raises(DBAPIError) as raised:
            execute(connection, "SELECT CAST(%(value)s AS BIGINT)", {"value": "no number"})
        return getattr(raised.value.orig, "sqlstate", None)

    assert on(ledger, ask) == "22P02"


@pytest.mark.parametrize("values", [None, {}], ids=["simple", "prepared"])
def test_a_server_that_hangs_up_in_the_middle_is_noticed(
    ledger: Ledger, values: dict[str, object] | None
) -> None:
    # Given: a session that ends while it is asked
    end = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(20)"

    # When
    with ledger._database.engine.connect() as connection:
        with pytest.raises(OperationalError) as raised:
            execute(connection, end, values)
        # Then: SQLAlchemy knows that the connection is no more
        assert connection.invalidated
    assert raised.value.connection_invalidated

    # And the next one is another one
    assert on(ledger, lambda connection: execute(connection, "SELECT 1").fetchone()) == (1,)


def test_whoever_is_interrupted_leaves_no_answer_to_the_next_one(ledger: Ledger) -> None:
    # Given: somebody waits for the server
    main = threading.main_thread()

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.3, lambda: signal.pthread_kill(main.ident or 0, signal.SIGUSR1))
    timer.start()

    # When: a signal cuts that short
    try:
        with pytest.raises(Interrupted):
            on(
                ledger,
                lambda connection: execute(
                    connection, "SELECT 'stale', pg_sleep(%(seconds)s)", {"seconds": 20}
                ),
            )
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)

    # Then: the next one gets its own answer
    assert on(ledger, lambda connection: execute(connection, "SELECT 'own'").fetchone()) == ("own",)
