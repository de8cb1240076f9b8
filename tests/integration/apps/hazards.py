"""Tasks of the conformance app that harm the process which runs them."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from types import SimpleNamespace
from typing import Any

from celery import Celery, Task

from tests.effects import Effects

# What the tasks of this process do not let go of.
_kept: list[bytearray] = []


def register(app: Celery, effects: Effects) -> SimpleNamespace:
    """Give an app the tasks of this module and return them by name."""

    def leave(key: str) -> None:
        effects.add(key, pid=os.getpid())

    @app.task
    def hoard(key: str, megabytes: int) -> str:
        """Keep some memory for as long as the process lives."""
        _kept.append(bytearray(b"x") * (megabytes << 20))
        leave(key)
        return key

    @app.task
    def segfault(key: str) -> None:
        """Read where nothing is."""
        leave(key)
        ctypes.string_at(0)

    @app.task
    def leave_at_once(key: str) -> None:
        """End the process without a word."""
        leave(key)
        os._exit(1)

    @app.task
    def kill_self(key: str) -> None:
        """Do to itself what the kernel does when memory runs out."""
        leave(key)
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task
    def ask_python_to_end(key: str) -> None:
        """Ask Python to end, and let nobody keep it from that."""
        leave(key)
        try:
            sys.exit(3)
        except Exception:
            leave(f"{key}:caught")

    @app.task
    def run_out_of_memory(key: str) -> None:
        """Take more memory than the process may have."""
        leave(key)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        while True:
            _kept.append(bytearray(b"x") * (8 << 20))

    @app.task
    def kill_worker(key: str, seconds: float) -> None:
        """Take the whole worker along after a while, as a machine does that has no memory left."""
        leave(key)
        time.sleep(seconds)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    tasks: dict[str, Any] = {
        name: task for name, task in locals().items() if isinstance(task, Task)
    }
    return SimpleNamespace(**tasks)
