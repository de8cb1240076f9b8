from __future__ import annotations

from celeriac.up.unloaded import Unloaded

PROBLEM = "the task module shop cannot be imported: SyntaxError: bad (/home/me/shop.py, line 3)"


def test_a_module_is_told_once_when_somebody_reads_whoever_says_so_and_how_often() -> None:
    said: list[str] = []
    unloaded = Unloaded(said.append, has_reload=True)

    taken = [
        unloaded.take(PROBLEM),
        unloaded.take(f"[2026-11-23 04:00:00,000: ERROR/MainProcess] {PROBLEM}"),
    ]
    before = said.copy()
    unloaded.tell([PROBLEM])
    told = said.copy()
    unloaded.take(PROBLEM)

    assert (taken, before) == ([True, True], [])
    assert told[0] == f"✗ tasks      {PROBLEM}"
    assert "mend it and save" in told[1]
    assert said == told


def test_a_module_that_breaks_later_is_told_at_once() -> None:
    said: list[str] = []
    unloaded = Unloaded(said.append, has_reload=False)
    unloaded.tell([])

    unloaded.take(PROBLEM)

    assert said[0] == f"✗ tasks      {PROBLEM}"
    assert "mend it and start again" in said[1]


def test_another_line_is_left_to_others() -> None:
    said: list[str] = []

    assert not Unloaded(said.append, has_reload=True).take("ERROR: something else")
