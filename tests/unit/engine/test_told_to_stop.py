from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.engine.pool.base import LedgerPool
from tests.engines import open_app


class Told:
    """A pool's thread that only remembers how it was stopped."""

    def __init__(self) -> None:
        self.kills: list[bool] = []

    def stop(self, *, kill: bool = False) -> None:
        self.kills.append(kill)


class Interrupted(Told):
    """One whose first stop is interrupted by the handler of a second signal."""

    def __init__(self, pool: LedgerPool) -> None:
        super().__init__()
        self._pool = pool

    def stop(self, *, kill: bool = False) -> None:
        super().stop(kill=kill)
        if len(self.kills) == 1:
            self._pool._on_told_to_stop()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[LedgerPool]:
    with open_app(tmp_path) as app:
        made = LedgerPool(limit=1, app=app)
        yield made
        made._mailbox.close()


def test_told_twice_a_pool_waits_for_nothing(pool: LedgerPool) -> None:
    told: Any = Told()
    pool._thread = told

    pool._on_told_to_stop()
    pool._on_told_to_stop()

    assert told.kills == [False, True]


def test_a_second_signal_within_the_handler_of_the_first_counts(pool: LedgerPool) -> None:
    told: Any = Interrupted(pool)
    pool._thread = told

    pool._on_told_to_stop()

    assert told.kills == [False, True]
