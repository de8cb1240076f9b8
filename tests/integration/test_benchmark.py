"""The benchmark itself: that a row can be measured, never how it comes out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.servers.processes import Process


def test_a_row_of_the_benchmark_is_measured_and_written_down(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    options = ("--only", "drain-sqlite", "--runs", "1", "--tasks", "200", "--json", str(file))
    command = [sys.executable, "-m", "benchmarks", *options]

    with Process(command, log=tmp_path / "bench.log") as bench:
        assert bench.wait(seconds=120) == 0, bench.log_text()

    (row,) = json.loads(file.read_text())["rows"]
    assert {"row", "ours", "theirs", "ratio", "unit", "must", "goal", "met", "runs"} <= set(row)
    assert row["row"] == "drain-sqlite"
    assert row["unit"] == "tasks/s"
    assert len(row["runs"]["ours"]) == len(row["runs"]["theirs"]) == 1
    assert row["ours"] > 0
    assert row["theirs"] > 0
