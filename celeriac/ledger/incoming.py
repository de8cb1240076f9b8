"""Many rows handed to one statement, as one JSON text.

One statement for a whole batch, in the same words on both databases: only how a JSON array becomes
rows differs, and that is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    FromClause,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
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


def words(dialect: str, parameter: str) -> ColumnElement[Any]:
    """Return the strings of a parameter, a JSON array, as something to look into with `IN`."""
    given = bindparam(parameter, type_=Text())
    if dialect == "postgresql":
        call = func.json_array_elements_text(cast(given, JSON))
        found = call.table_valued("value", name="word").render_derived()
    else:
        found = func.json_each(given).table_valued("value", name="word")
    return select(found.c.value).scalar_subquery()


def has_word(dialect: str, holder: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Return whether a column, a JSON array of strings, has one among them."""
    if dialect == "postgresql":
        call = func.json_array_elements_text(cast(holder, JSON))
        found = call.table_valued("value", name="word").render_derived()
    else:
        found = func.json_each(holder).table_valued("value", name="word")
    return select(found.c.value).where(found.c.value == word).exists()


def encode(rows: Sequence[Mapping[str, object]] | Sequence[str]) -> str:
    """Return rows, or strings, as the JSON text that the statements read.

    Raises:
        ValueError: A text cannot be kept: it has a NUL, which SQL cannot hold, or half a
            surrogate pair, which is no Unicode.
    """
    try:
        text = orjson.dumps(rows).decode()
    except TypeError as error:
        raise ValueError(str(error)) from error
    # The escape may also stand in a text that holds JSON itself: then it is only six letters.
    if "\\u0000" in text and any(_has_nul(row) for row in rows):
        raise ValueError("a text has a NUL character")
    return text


def _has_nul(row: Mapping[str, object] | str) -> bool:
    values = (row,) if isinstance(row, str) else row.values()
    return any(isinstance(value, str) and "\0" in value for value in values)
