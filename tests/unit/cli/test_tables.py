from __future__ import annotations

import pytest

from celeriac.cli.tables import table_lines

HEADS = ("NAME", "ROLE")
ROWS = (("ana", "admin"), ("bartholomew", "viewer"))


def test_columns_stand_under_each_other_for_people() -> None:
    lines = table_lines(HEADS, ROWS, is_aligned=True)

    assert lines == ["NAME         ROLE", "ana          admin", "bartholomew  viewer"]


def test_columns_are_parted_by_tabs_for_programs() -> None:
    lines = table_lines(HEADS, ROWS, is_aligned=False)

    assert lines == ["NAME\tROLE", "ana\tadmin", "bartholomew\tviewer"]


def test_no_rows_leave_the_heads() -> None:
    assert table_lines(HEADS, [], is_aligned=True) == ["NAME  ROLE"]


@pytest.mark.parametrize("is_aligned", [True, False])
def test_a_cell_neither_steers_the_terminal_nor_becomes_two(*, is_aligned: bool) -> None:
    lines = table_lines(HEADS, [("a\tb\nc", "\x1b[2J\x9b1m")], is_aligned=is_aligned)

    assert lines[1:] == [("a b c  " if is_aligned else "a b c\t") + "\\x1b[2J\\x9b1m"]
