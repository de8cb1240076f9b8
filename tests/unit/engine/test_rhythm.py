from __future__ import annotations

import pytest

from celeriac.engine.pool.rhythm import Rhythm

NOW = 1000.0


def _due_at(rhythm: Rhythm, *, ended: int, held: int, slots: int = 2) -> float:
    return rhythm.due_at(NOW, ended=ended, held=held, slots=slots)


@pytest.mark.parametrize(
    ("ended", "held"),
    [
        # Nothing to write: whatever there is to claim is claimed now.
        (0, 0),
        (0, 400),
        # A lone task, and one beside another.
        (1, 1),
        (1, 2),
        # Everything else runs: nobody waits behind it.
        (1, 3),
        # As many as are written at once.
        (200, 5000),
    ],
)
def test_what_gains_nothing_by_waiting_is_written_at_once(ended: int, held: int) -> None:
    rhythm = Rhythm()
    rhythm.gathers_since(NOW)

    assert _due_at(rhythm, ended=ended, held=held) == NOW


def test_while_callers_wait_little_is_written_at_a_time() -> None:
    rhythm = Rhythm()
    rhythm.gathers_since(NOW)
    most = rhythm.most
    rhythm.is_brief = True

    assert rhythm.most == 32 < most
    assert _due_at(rhythm, ended=32, held=400) == NOW
    assert _due_at(rhythm, ended=31, held=400) > NOW


def test_half_of_what_is_held_is_written_when_there_is_more_to_claim() -> None:
    rhythm = Rhythm()
    rhythm.gathers_since(NOW)

    assert rhythm.due_at(NOW, ended=50, held=100, slots=2, is_more=True) == NOW
    assert rhythm.due_at(NOW, ended=49, held=100, slots=2, is_more=True) > NOW
    assert rhythm.due_at(NOW, ended=50, held=100, slots=2) > NOW


def test_with_a_backlog_outcomes_gather_for_a_moment() -> None:
    rhythm = Rhythm()
    rhythm.gathers_since(NOW - 0.004)

    assert _due_at(rhythm, ended=10, held=400) == pytest.approx(NOW + 0.006)


def test_a_slow_ledger_gets_larger_batches() -> None:
    rhythm = Rhythm()
    rhythm.exchanged(0.02, NOW)
    rhythm.gathers_since(NOW)

    assert _due_at(rhythm, ended=10, held=400) == pytest.approx(NOW + 0.08)


def test_outcomes_wait_no_longer_than_a_quarter_of_a_second() -> None:
    rhythm = Rhythm()
    rhythm.exchanged(5.0, NOW)
    rhythm.gathers_since(NOW)

    assert _due_at(rhythm, ended=10, held=400) == pytest.approx(NOW + 0.25)


def test_while_callers_wait_it_rests_as_long_as_it_wrote() -> None:
    rhythm = Rhythm()
    rhythm.gathers_since(NOW)
    rhythm.is_brief = True
    rhythm.exchanged(0.003, NOW)

    assert _due_at(rhythm, ended=32, held=400) == pytest.approx(NOW + 0.003)
    rhythm.exchanged(5.0, NOW)
    assert _due_at(rhythm, ended=32, held=400) == pytest.approx(NOW + 0.02)
    rhythm.is_brief = False
    rhythm.exchanged(0.003, NOW)
    assert _due_at(rhythm, ended=200, held=400) == NOW
