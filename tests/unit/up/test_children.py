from __future__ import annotations

import pytest

from celeriac.up.children import pause_before_restart


@pytest.mark.parametrize(
    ("endings", "seconds"),
    [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)],
)
def test_a_program_that_keeps_ending_waits_longer_up_to_half_a_minute(
    endings: int, seconds: int
) -> None:
    assert pause_before_restart(endings).total_seconds() == seconds
