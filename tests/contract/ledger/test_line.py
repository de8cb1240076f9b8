"""Who writes next, where one at a time writes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.ledger import line as line_module
from celeriac.ledger.line import WritersLine
from tests.servers.processes import PROJECT, clean_environment, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def line(path: Path) -> Iterator[WritersLine]:
    line = WritersLine(path)
    yield line
    line.close()


class Writer(threading.Thread):
    """A writer with a line of its own, as another process has it."""

    def __init__(self, path: Path, turns: list[str], *, has_priority: bool) -> None:
        super().__init__(daemon=True)
        self._line = WritersLine(path)
        self._turns = turns
        self._has_priority = has_priority

    def run(self) -> None:
        with self._line.turn(timeout_seconds=20, has_priority=self._has_priority):
            self._turns.append("first" if self._has_priority else "other")
        self._line.close()


def test_a_writer_with_priority_passes_those_who_wait_already(
    path: Path, line: WritersLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is: they do not insist.
    monkeypatch.setattr(line_module, "_PATIENCE_SECONDS", 20)
    turns: list[str] = []
    writers = [Writer(path, turns, has_priority=False) for _ in range(3)]
    with line.turn(timeout_seconds=20):
        for each in writers:
            each.start()
        wait_until(lambda: not _can_take_head(path), "others wait", pause=0.005)
        late = Writer(path, turns, has_priority=True)
        late.start()
        wait_until(line._first.is_taken, "one with priority waits", pause=0.005)

    for each in (*writers, late):
        each.join(20)

    assert turns == ["first", "other", "other", "other"]


def test_priority_starves_nobody(path: Path, line: WritersLine) -> None:
    may_end = threading.Event()

    def write_all_the_time() -> None:
        own = WritersLine(path)
        while not may_end.is_set():
            with own.turn(timeout_seconds=20, has_priority=True):
                time.sleep(0.002)
        own.close()

    greedy = [threading.Thread(target=write_all_the_time) for _ in range(3)]
    for each in greedy:
        each.start()
    wait_until(line._first.is_taken, "they write", pause=0.001)

    for _ in range(5):
        with line.turn(timeout_seconds=20):
            pass

    may_end.set()
    for each in greedy:
        each.join(20)


def test_whoever_keeps_one_with_priority_waiting_knows_it_for_a_while(
    path: Path, line: WritersLine
) -> None:
    with line.turn(timeout_seconds=20):
        pass
    assert not line.is_awaited

    late = Writer(path, [], has_priority=True)
    with line.turn(timeout_seconds=20):
        late.start()
        wait_until(line._first.is_taken, "one with priority waits", pause=0.005)

    assert line.is_awaited
    late.join(20)
    wait_until(lambda: not line.is_awaited, "it is forgotten", pause=0.02)


_WAIT = """
import sys
from pathlib import Path
from celeriac.ledger.line import WritersLine
print("coming", flush=True)
with WritersLine(Path(sys.argv[1])).turn(timeout_seconds=60, has_priority=True):
    pass
"""


def test_priority_is_seen_between_processes_and_ends_with_them(
    path: Path, line: WritersLine
) -> None:
    with line.turn(timeout_seconds=20):
        other = subprocess.Popen(
            [sys.executable, "-c", _WAIT, str(path)], cwd=PROJECT, env=clean_environment()
        )
        wait_until(line._first.is_taken, "another process waits", pause=0.005)
        # This process looks at it and takes nothing from it.
        assert line._first.is_taken()
        other.kill()
        other.wait()
        assert not line._first.is_taken()


def _can_take_head(path: Path) -> bool:
    head = line_module._WatchedPlace(path.with_name(f"{path.name}-line"))
    is_taken = head.is_taken()
    head.close()
    return not is_taken
