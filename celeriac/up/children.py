"""Programs as child processes that never outlive us.

Each program leads a process group of its own, so that Ctrl-C reaches us first and so that what a
program started itself can be ended with it. If we die without a word, the guardian ends the
groups, and on Linux the kernel ends the programs even if the guardian has died too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

# What a hurried program gets before it is killed.
HURRIED = timedelta(seconds=3)
_PR_SET_PDEATHSIG = 1
_IS_WINDOWS = sys.platform == "win32"
# Keeps a process away from the Ctrl-C of our terminal on Windows; elsewhere a new session does.
_OWN_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
# Loaded here: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
_GUARDIAN = Path(__file__).with_name("guardian.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of the programs that `up` runs."""

    # One word, for people: worker.
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    # Where all it says goes.
    log: Path
    # Given the id of its process: what to tell of it once it is ready, None before that.
    find_ready: Callable[[int], str | None]
    # Called before every start.
    prepare: Callable[[], None] = field(default=lambda: None)
    # Whether a line of its log may say why it ended.
    is_telling: Callable[[str], bool] = field(default=lambda _line: True)
    # Whether warnings in its log are for the person at the terminal.
    has_news: bool = True
    # How long it may finish what it runs when it is asked to end.
    grace: timedelta = timedelta(seconds=5)
    # Asks it to give back what it runs, when the grace is over; None where nothing does.
    hurry: signal.Signals | None = None
    # What it inherits, under the same numbers; nothing else of ours is open in it.
    sockets: tuple[socket.socket, ...] = ()
    # Called at every look while there is no hope that it is ready soon.
    when_hopeless: Callable[[], None] = field(default=lambda: None)


class Guardian:
    """The process that ends our children should we die without a word."""

    def __init__(self) -> None:
        self._watched: set[int] = set()
        self._start()

    def watch(self, pid: int) -> None:
        """End this process and its group when we are gone."""
        self._watched.add(pid)
        self._tell(f"+{pid}")

    def forget(self, pid: int) -> None:
        """Leave a process alone that has ended: another one may get its id."""
        self._watched.discard(pid)
        self._tell(f"-{pid}")

    def close(self) -> None:
        """End the guardian; whatever is still watched ends with it."""
        with contextlib.suppress(OSError):
            self._pipe.close()
        self._popen.wait()

    def _start(self) -> None:
        read_end, write_end = os.pipe()
        # Only we hold the end that is written to: it closes with us.
        self._pipe = os.fdopen(write_end, "w", encoding="ascii")
        self._popen = subprocess.Popen(  # noqa: S603 - our own file
            (sys.executable, "-I", "-S", str(_GUARDIAN)),
            stdin=read_end,
            start_new_session=not _IS_WINDOWS,
            creationflags=_OWN_GROUP,
        )
        os.close(read_end)

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except OSError:
            # Somebody ended it: the next one has to learn of everyone.
            with contextlib.suppress(OSError):
                self._pipe.close()
            self._popen.wait()
            self._start()
            for pid in self._watched:
                self._write(f"+{pid}")

    def _write(self, line: str) -> None:
        self._pipe.write(line + "\n")
        self._pipe.flush()


class Child:
    """One start of a program; made in the main thread, whose end would be the child's."""

    def __init__(self, program: Program, guardian: Guardian) -> None:
        self._guardian = guardian
        self.started = time.monotonic()
        with os.fdopen(os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)) as log:
            self._popen = subprocess.Popen(  # noqa: S603 - the commands stand in programs.py
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.folder,
                env=dict(program.environment),
                pass_fds=[each.fileno() for each in program.sockets],
                # This program has one thread when it starts another, so that running a little of
                # Python between fork and exec is safe.
                preexec_fn=_die_with(os.getpid()),
                start_new_session=not _IS_WINDOWS,
                creationflags=_OWN_GROUP,
            )
        guardian.watch(self.pid)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._popen.pid

    def find_exit_code(self) -> int | None:
        """Return how it ended, None while it runs; what it left behind is ended too."""
        code = self._popen.poll()
        if code is not None:
            self._kill_group()
            self._guardian.forget(self.pid)
        return code

    def ask_to_end(self, sign: signal.Signals | None = None) -> None:
        """Send it the signal to end, by default the usual one of this system."""
        usual = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)
        with contextlib.suppress(OSError):
            self._popen.send_signal(usual if sign is None else sign)

    def kill(self) -> None:
        """End it at once with everything it started."""
        self._kill_group()
        self._popen.kill()
        self._popen.wait()
        self._guardian.forget(self.pid)

    def _kill_group(self) -> None:
        if _IS_WINDOWS:
            return
        # The group's id stays taken while any of its members lives, so this hits nobody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def pause_before_restart(endings: int) -> timedelta:
    """Return how long to wait before a program that ended is started again.

    Args:
        endings: How often it ended since it last ran for a while, from 1.
    """
    return timedelta(seconds=min(2.0 ** min(endings - 1, 10), 30.0))


def _die_with(parent: int) -> Callable[[], None] | None:
    if _libc is None:
        return None
    tie = _libc.prctl

    def prepare() -> None:
        tie(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above took hold.
        if os.getppid() != parent:
            os._exit(1)

    return prepare
