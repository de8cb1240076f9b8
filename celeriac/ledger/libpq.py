"""PostgreSQL, spoken to through libpq itself, one prepared statement at a time.

A cursor of the driver looks at each value anew, keeps count of what it has prepared, and waits in
several steps. A process that has just been woken has none of all that in its caches: there a cursor
took 0.9 ms for what takes 0.55 ms so (and 0.12 ms instead of 0.04 ms when it is busy).
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

# The name at the server, the statement with numbers for its parameters, their names in that order.
_Prepared = tuple[bytes, bytes, tuple[str, ...]]
# What a connection has prepared, by the statements as SQLAlchemy writes them.
_PREPARED = "celeriac_prepared"
# Our statements are a hundred or two; only an INSERT has variants, by the columns in which its rows
# differ. What comes after so many is planned anew each time.
_MOST_PREPARED = 400
_PARAMETER = re.compile(r"%\((\w+)\)s")
# libpq's own numbers: ExecStatusType, PGTransactionStatusType, PG_DIAG_SQLSTATE.
_FINE = frozenset({1, 2})
_IN_THE_MIDDLE = 1
_SQLSTATE = ord("C")


class Answer:
    """What the server answered; as much of a cursor as a statement of ours wants."""

    __slots__ = ("_driver", "_result")

    def __init__(self, driver: Any, result: Any) -> None:
        self._driver = driver
        self._result = result

    @property
    def rowcount(self) -> int:
        """How many rows it returned or changed."""
        return int(self._result.command_tuples or 0)

    @property
    def description(self) -> list[tuple[str]]:
        """The columns' names, where a cursor has them."""
        result = self._result
        return [(result.fname(place).decode(),) for place in range(result.nfields)]

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self._load(self._result.ntuples)

    def fetchone(self) -> Any:
        """Return the first row, None when there is none."""
        return rows[0] if (rows := self._load(min(self._result.ntuples, 1))) else None

    def close(self) -> None:
        """Have nothing to let go of: everything is here."""

    def _load(self, count: int) -> list[Any]:
        if not count:
            return []
        # Imported with the driver, on a server only.
        from psycopg.adapt import Transformer

        transformer = Transformer(self._driver)
        transformer.set_pgresult(self._result)
        return transformer.load_rows(0, count, tuple)


def run(connection: Connection, driver: Any, text: str, values: Mapping[str, Any] | None) -> Answer:
    """Run a statement.

    Args:
        connection: Where.
        driver: The driver's connection of it.
        text: The statement as the driver has it. One without values may be several.
        values: For its parameters, by their names.

    Raises:
        psycopg.Error: What the server or the connection said.
        ValueError: A text cannot be kept.
    """
    pgconn = driver.pgconn
    if values is None:
        return Answer(driver, _ask(pgconn, lambda: pgconn.send_query(text.encode())))
    kept: dict[str, _Prepared] = connection.info.setdefault(_PREPARED, {})
    prepared = kept.get(text)
    if prepared is None and len(kept) < _MOST_PREPARED:
        prepared = kept[text] = _prepare(pgconn, text, b"celeriac_%d" % len(kept))
    name, numbered, names = prepared or (b"", *_number(text))
    said = [_said(values[each]) for each in names]
    if prepared is None:
        return Answer(driver, _ask(pgconn, lambda: pgconn.send_query_params(numbered, said)))
    return Answer(driver, _ask(pgconn, lambda: pgconn.send_query_prepared(name, said)))


def is_readable(socket: int) -> bool:
    """Return whether a socket has something to read by now."""
    return bool(_wait(socket, is_full=False, milliseconds=0))


def _prepare(pgconn: Any, text: str, name: bytes) -> _Prepared:
    numbered, names = _number(text)
    # Of what types its parameters are is said by the casts in it.
    _ask(pgconn, lambda: pgconn.send_prepare(name, numbered))
    return name, numbered, names


def _number(text: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with its parameters numbered, and their names in that order."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    numbered = _PARAMETER.sub(lambda match: numbers[match[1]], text).replace("%%", "%")
    return numbered.encode(), names


def _said(value: Any) -> bytes | None:
    """Return a value as PostgreSQL reads it; only kinds that our statements have."""
    if value is None:
        return None
    if isinstance(value, str):
        # Sent as it is, the text would end there.
        if "\0" in value:
            raise ValueError("a text has a NUL character")
        return value.encode()
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int | float):
        return repr(value).encode()
    if isinstance(value, list | tuple):
        return b"{%s}" % b",".join(map(_quoted, value))
    raise TypeError(f"a statement was given a {type(value).__name__}")


def _quoted(word: str) -> bytes:
    said = _said(word) or b""
    return b'"%s"' % said.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _ask(pgconn: Any, send: Callable[[], None]) -> Any:
    """Send something and return the last result of it."""
    try:
        send()
        results = _take(pgconn)
    finally:
        if pgconn.transaction_status == _IN_THE_MIDDLE:
            # Whoever was interrupted here leaves an answer behind, which nobody else may take.
            pgconn.finish()
    for result in results:
        if result.status not in _FINE:
            raise _error_of(pgconn, result)
    if not results:
        raise _error_of(pgconn, None)
    return results[-1]


def _take(pgconn: Any) -> list[Any]:
    socket = pgconn.socket
    while pgconn.flush():
        # A server that answers before it has read everything reads on when its answer is taken.
        if _wait(socket, is_full=True):
            pgconn.consume_input()
    results: list[Any] = []
    while True:
        while pgconn.is_busy():
            _wait(socket, is_full=False)
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            return results
        results.append(result)


def _error_of(pgconn: Any, result: Any) -> Exception:
    # Imported with the driver, on a server only.
    from psycopg import OperationalError
    from psycopg.errors import error_from_result

    if result is not None and result.error_field(_SQLSTATE):
        return error_from_result(result)
    # Nothing the server said: the connection has ended.
    return OperationalError((result or pgconn).get_error_message())


def _wait(socket: int, *, is_full: bool, milliseconds: int | None = None) -> bool:
    """Wait for a connection's socket; return whether there is something to read.

    Args:
        socket: Its file descriptor.
        is_full: There is something left to be sent: wait until that or reading can go on.
        milliseconds: How long to wait at most; None waits for ever.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN | (select.POLLOUT if is_full else 0))
        found = poll.poll(milliseconds)
        # Whatever else is told of it, an end or an error, is found out by reading.
        return bool(found) and found[0][1] != select.POLLOUT
    # Windows, whose `select` takes any socket; elsewhere it takes low numbers only.
    seconds = None if milliseconds is None else milliseconds / 1000
    return bool(select.select([socket], [socket] if is_full else [], [], seconds)[0])
