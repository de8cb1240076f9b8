from __future__ import annotations

import logging

import pytest

from celeriac.engine.pool.patience import Patience
from celeriac.errors import LedgerUnavailableError


def _tried(times: int) -> Patience:
    patience = Patience()
    for _ in range(times):
        patience.failed(LedgerUnavailableError("away"), held=1)
    return patience


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [_tried(times).pause_seconds() for times in (1, 2, 3, 50)]

    assert pauses == [0.2, 0.4, 0.8, 5.0]


def test_a_bound_may_be_lower() -> None:
    patience = Patience(0.5)
    for _ in range(9):
        patience.failed(LedgerUnavailableError("away"), held=1)

    assert patience.pause_seconds() == 0.5


def test_whatever_comes_in_meanwhile_waits_for_the_next_try() -> None:
    patience = Patience(monotonic=lambda: 100.0)

    patience.failed(LedgerUnavailableError("away"), held=1)

    assert patience.again_at == 100.2
    patience.hurry()
    assert patience.again_at == 0.0


def test_a_ledger_that_is_back_is_trusted_again() -> None:
    patience = _tried(9)

    patience.succeeded()

    assert patience.again_at == 0.0
    assert not patience.is_at_its_end


def test_a_worker_that_shall_end_at_once_tries_a_few_times() -> None:
    assert not _tried(5).is_at_its_end
    assert _tried(6).is_at_its_end


def test_a_long_outage_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _tried(100)

    assert len(caplog.records) == 7
