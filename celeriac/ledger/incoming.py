"""Many rows handed to one statement, as one JSON text.

A statement reads the same on both databases: only how a JSON array becomes rows differs, and that
is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from typing import cast as as_type

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    FromClause,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

Columns = Mapping[str, TypeEngine[Any]]

TEXT = Text()
WHOLE = BigInteger()
REAL: TypeEngine[float] = Double()
FLAG = Boolean()


def incoming(dialect: str, columns: Columns) -> FromClause:
    """Return the rows of the parameter `rows`, a JSON array of objects, as something to join."""
    if dialect == "postgresql":
        typed = [column(key, kind) for key, kind in columns.items()]
        call = func.json_to_recordset(cast(bindparam("rows", type_=Text()), JSON))
        return call.table_valued(*typed, name="incoming").render_derived(
            name="incoming", with_types=True
        )
    each = func.json_each(bindparam("rows", type_=Text())).table_valued("value", name="each")
    return select(
        *(
            func.json_extract(each.c.value, literal_column(f"'$.{key}'"), type_=kind).label(key)
            for key, kind in columns.items()
        )
    ).subquery("incoming")


def incoming_by_id(*columns: str) -> FromClause:
    """Return the members of the parameter `rows`, a JSON object, as rows with an `id`; for SQLite.

    Each member's value is a column's, or an array of those of several columns. SQLite takes a row
    of many out of this in three quarters of the time that it takes for an object.

    Args:
        columns: Their names, in order.
    """
    each = func.json_each(bindparam("rows", type_=Text())).table_valued("key", "value", name="each")
    if len(columns) == 1:
        return select(each.c.key.label("id"), each.c.value.label(columns[0])).subquery("incoming")
    return select(
        each.c.key.label("id"),
        *(
            func.json_extract(each.c.value, literal_column(f"'$[{place}]'")).label(name)
            for place, name in enumerate(columns)
        ),
    ).subquery("incoming")


def encode_by_id(rows: Mapping[str, object]) -> str:
    """Return rows by their ids, each a value or an array, as the JSON text that is read so.

    Raises:
        ValueError: A text cannot be kept, as in `encode`.
    """
    text = dump(rows)
    if b"\\u0000" in text:
        values = rows.values()
        check_text(text, (each if isinstance(each, tuple) else (each,) for each in values))
    return text.decode()


def insert_into(dialect: str, table: Table) -> sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT; both databases have it, each in its own module."""
    if dialect == "postgresql":
        # With all its drivers: not on a laptop.
        from sqlalchemy.dialects import postgresql

        # The two classes are not related, but have all that is used here in the same words.
        return as_type(sqlite.Insert, postgresql.insert(table))
    return sqlite.insert(table)


def among(dialect: str, holder: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Return whether a column's value is one of a parameter, made by `words`."""
    if dialect == "postgresql":
        # An array tells the planner how many there are, and is looked up in an index.
        return holder == any_(cast(bindparam(parameter), ARRAY(Text())))
    given = bindparam(parameter, type_=Text())
    found = func.json_each(given).table_valued("value", name="word")
    return holder.in_(select(found.c.value))


def words(dialect: str, strings: Sequence[str]) -> Sequence[str] | str:
    """Return strings as the parameter that `among` reads.

    Raises:
        ValueError: One of them is no text that SQL can hold.
    """
    text = encode(strings)
    if dialect != "postgresql":
        return text
    # The driver writes an array word by word, and takes longer than for all else that a claim
    # sends. Without a backslash, a JSON array is written as PostgreSQL writes its own.
    return list(strings) if "\\" in text else f"{{{text[1:-1]}}}"


def matched(dialect: str, key: ColumnElement[Any], rows: FromClause) -> ColumnElement[bool]:
    """Return whether a table's key is the `id` of one of the incoming rows.

    For PostgreSQL's planner it is said twice: how many rows come out of a JSON text it cannot know,
    and by its guess it would rather read the table. The parameter `ids` is what `words` makes of
    the rows' ids.
    """
    same = key == rows.c.id
    return and_(among(dialect, key, "ids"), same) if dialect == "postgresql" else same


def by_id(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether all conditions hold of rows that are looked up by their ids.

    Said so that no partial index fits, and so that PostgreSQL takes it for a coin's toss: by
    statistics of a quiet hour it would walk through all queued rows to find two hundred, or expect
    to find one and compare each with each.
    """
    return case((and_(*conditions), literal_column("TRUE")), else_=literal_column("FALSE"))


def has_word(dialect: str, holder: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Return whether a column, a JSON array of strings, has one among them."""
    if dialect == "postgresql":
        call = func.json_array_elements_text(cast(holder, JSON))
        found = call.table_valued("value", name="word").render_derived()
    else:
        found = func.json_each(holder).table_valued("value", name="word")
    return select(found.c.value).where(found.c.value == word).exists()


def is_sound(text: str) -> bool:
    """Return whether a text can stand in a table; nothing is ever found under one that cannot."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def dump(rows: object) -> bytes:
    """Return rows as a JSON text.

    Raises:
        ValueError: A text among them has half a surrogate pair, which is no Unicode.
    """
    try:
        return orjson.dumps(rows)
    except TypeError as error:
        raise ValueError(str(error)) from error


def check_text(text: bytes, rows: Iterable[Iterable[object]]) -> None:
    """Raise when values that were encoded as this JSON text have a NUL among them.

    Raises:
        ValueError: They have: no SQL text can hold it.
    """
    # The escape may also stand in a text that holds JSON itself: then it is only six letters.
    if b"\\u0000" in text and any(
        isinstance(value, str) and "\0" in value for row in rows for value in row
    ):
        raise ValueError("a text has a NUL character")


def encode(rows: Sequence[Mapping[str, object]] | Sequence[str]) -> str:
    """Return rows, or strings, as the JSON text that the statements read.

    Raises:
        ValueError: A text cannot be kept: it has a NUL, which SQL cannot hold, or half a
            surrogate pair, which is no Unicode.
    """
    text = dump(rows)
    check_text(text, ((row,) if isinstance(row, str) else row.values() for row in rows))
    return text.decode()
