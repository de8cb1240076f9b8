from __future__ import annotations

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
