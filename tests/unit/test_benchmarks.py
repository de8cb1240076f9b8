"""How the benchmark judges what it measured, and draws it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.chart import draw
from benchmarks.report import table
from benchmarks.rows import Bound, Row


@pytest.mark.parametrize(
    ("bound", "must", "is_met"),
    [
        # Ours is ten times theirs.
        (Bound.LEAST, 10, True),
        (Bound.LEAST, 11, False),
        (Bound.MOST, 10, True),
        (Bound.MOST, 9, False),
        (Bound.LEAST, None, None),
    ],
)
def test_a_row_is_met_by_the_ratio_of_the_medians(
    bound: Bound, must: float | None, *, is_met: bool | None
) -> None:
    row = Row(
        name="row", measurement="drain", ours="a", theirs="b", must=must, goal=None, bound=bound
    )
    seen = {
        "a": [{"tasks_per_second": rate} for rate in (90.0, 100.0, 700.0)],
        "b": [{"tasks_per_second": rate} for rate in (1.0, 10.0, 11.0)],
    }

    judged = row.judge(seen)

    assert (judged["ours"], judged["theirs"], judged["ratio"]) == (100, 10, 10)
    assert judged["met"] is is_met


def test_a_row_without_another_contender_is_met_by_our_own_figure() -> None:
    row = Row(
        name="naps", measurement="nap", ours="a", figure="seconds", must=1.5, bound=Bound.MOST
    )

    judged = row.judge({"a": [{"seconds": 1.4}, {"seconds": 1.45}, {"seconds": 9.0}]})

    assert judged["met"] is True
    assert judged["ratio"] is None
    assert "naps" in table([judged])


def test_the_picture_has_a_bar_for_each_contender_the_fastest_first() -> None:
    rows = [
        Row(name=name, measurement="drain", ours="ours-sqlite", theirs=theirs).judge(
            {
                "ours-sqlite": [{"tasks_per_second": 9000.0}],
                theirs: [{"tasks_per_second": rate}],
            }
        )
        for name, theirs, rate in (
            ("drain-sqlite", "stock", 600.0),
            ("drain-bullmq-sqlite", "bullmq", 9500.0),
        )
    ]

    picture = draw(rows)

    texts = [each.text or "" for each in ElementTree.fromstring(picture).iter() if each.text]
    named = [each for each in texts if each.startswith(("BullMQ", "Celer"))]
    assert named == ["BullMQ, 2 processes", "Celeriac on SQLite", "Celery prefork -c2, late ack"]
    assert {"9,500", "9,000", "600"} <= set(texts)
