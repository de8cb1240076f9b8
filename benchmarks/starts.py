"""How long a beginner waits: for `celeriac up`, for `celeriac --help`; and what it takes then."""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.stand import Stand, cpu_seconds
from tests.acceptance.machine import UpProcess
from tests.servers.processes import PROJECT, clean_environment

# How many seconds an idle machine is watched.
_LOOKS = 8


class Starts:
    """`celeriac up` where it has run before: until it answers, what it costs, what it keeps."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure a second start."""
        process = UpProcess(self._stand.new_folder())
        with process:
            process.wait_for_log("Ctrl-C", seconds=120)
        with process:
            began = time.monotonic()
            process.wait_until(lambda: _is_ready(process.port), "it answers", seconds=60)
            seconds = time.monotonic() - began
            process.wait_for_log("Ctrl-C", seconds=120)
            cpu = cpu_seconds([process.pid])
            return {
                "seconds": seconds,
                "cpu_seconds": cpu,
                "megabytes": _least_megabytes(process),
            }


class Helps:
    """`celeriac --help`, from the shell's point of view."""

    def __init__(self, *, count: int) -> None:
        self._count = count

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure it a few times over."""
        took = []
        for _ in range(self._count):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "celeriac", "--help"],
                cwd=PROJECT,
                env=clean_environment(),
                stdout=subprocess.DEVNULL,
                check=True,
            )
            took.append((time.perf_counter() - began) * 1000)
        return {"p50_ms": statistics.median(took)}


def _least_megabytes(process: UpProcess) -> float:
    # What else is done after a start comes and goes.
    looks = []
    for _ in range(_LOOKS):
        time.sleep(1)
        looks.append(megabytes(process.everyone()))
    return min(looks)


def megabytes(pids: Iterable[int]) -> float:
    """Return the memory of processes, what several share counted once, by Linux's own books."""
    kilobytes = 0
    for pid in pids:
        try:
            facts = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in facts.splitlines() if line[:4] == "Pss:")
    return kilobytes / 1000


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
