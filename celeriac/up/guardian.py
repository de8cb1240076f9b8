"""Ends the programs when their supervisor has died, whatever ended it.

A program of its own, started by path: it reads the ids of processes from its standard input,
`+ID` for one to watch and `-ID` for one that has ended. The end of the input is the end of the
supervisor. It knows nothing of the package, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def watch() -> None:
    """Read until the supervisor is gone, then end what it left behind."""
    watched: set[int] = set()
    for line in sys.stdin:
        mark, number = line[:1], line[1:].strip()
        if mark == "+":
            watched.add(int(number))
        else:
            watched.discard(int(number))
    for pid in watched:
        end(pid)


def end(pid: int) -> None:
    """End a process at once with everything it started."""
    if sys.platform == "win32":
        command = ("taskkill", "/F", "/T", "/PID", str(pid))
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own words
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    watch()
