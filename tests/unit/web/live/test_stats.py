from __future__ import annotations

from celeriac.web.live.stats import Stats
from tests.fakes import NOON


def test_rates_are_those_of_the_last_second() -> None:
    stats = Stats(lambda: NOON)
    # Nobody looked yet.
    stats.add({"completed": 100})
    stats.begin(10.0)
    stats.add({"completed": 3, "failed": 1})
    stats.add({"completed": 3})

    assert not stats.is_due(10.9)
    assert stats.is_due(12.0)
    stats.stand(12.0)
    first = stats.standing
    stats.stand(13.0)

    assert first is not None
    assert (first.rates["completed"], first.rates["failed"]) == (3.0, 0.5)
    assert stats.standing is not None
    assert stats.standing.number == 2
    assert stats.standing.rates["completed"] == 0


def test_depths_are_told_by_queue_and_state() -> None:
    stats = Stats(lambda: NOON)
    stats.begin(0.0)
    stats.counted({("b", "queued"): 2, ("a", "running"): 1}, at=0.0, took=0.0)

    stats.stand(1.0)

    assert stats.standing is not None
    told = stats.standing.to_json()
    assert told["depths"] == {"a": {"running": 1}, "b": {"queued": 2}}
    assert told["t"] == NOON.isoformat()


def test_a_slow_count_is_made_seldom() -> None:
    stats = Stats(lambda: NOON)
    assert stats.is_count_due(0.0)

    stats.counted({}, at=0.0, took=2.0)

    assert not stats.is_count_due(19.0)
    assert stats.is_count_due(20.0)


def test_when_nobody_looks_nothing_is_added_up() -> None:
    stats = Stats(lambda: NOON)
    stats.begin(0.0)
    stats.stand(1.0)

    stats.end()

    assert stats.standing is None
    assert not stats.is_due(100.0)
