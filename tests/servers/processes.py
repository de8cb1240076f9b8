"""Child processes with a log file, which never outlive the test process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROJECT = Path(__file__).resolve().parents[2]

_PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None, use_errno=True)


class ProcessFailedError(AssertionError):
    """A child process did not do what the test waited for; tells the end of its log."""

    def __init__(self, what: str, log_tail: str) -> None:
        super().__init__(f"{what}; the end of its log:\n{log_tail}")


def clean_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without any setting of ours, then changed."""
    # Hundreds of processes import the same modules: compiled once, a tenth of each start is saved.
    without = ("CELERIAC_", "CELERY_", "APP_SECRET_KEY", "PYTHONWARNINGS", "PYTHONDONTWRITE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return {**kept, "PYTHONUNBUFFERED": "1", **(changes or {})}


def wait_until(
    predicate: Callable[[], object], what: str, *, seconds: float = 20, pause: float = 0.02
) -> None:
    """Return as soon as something is true.

    Raises:
        AssertionError: It did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not so: {what}")
        time.sleep(pause)


class Process:
    """One command, started in a process group of its own, with its output in a log file.

    Start it from a thread that lives as long as it: Linux ties the death signal to the thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = PROJECT,
        user: str | None = None,
    ) -> None:
        self.command = tuple(command)
        self.log = log
        self.environment = clean_environment() if environment is None else dict(environment)
        self.folder = folder
        self.user = user
        self._popen: subprocess.Popen[bytes] | None = None
        # Where this start's lines begin: a restart appends to the same log.
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._popen is not None, "the process was not started"
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start the command; it is not waited for."""
        assert not self.is_running, "the process runs already"
        user: int | None = None
        group: int | None = None
        groups: list[int] | None = None
        if self.user is not None:
            # Imported here: this module is read on systems without users of this kind too.
            import pwd

            facts = pwd.getpwnam(self.user)
            user, group, groups = facts.pw_uid, facts.pw_gid, []
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
                # Runs after the change of user, which would clear the death signal.
                preexec_fn=_die_with(os.getpid()),
                user=user,
                group=group,
                extra_groups=groups,
            )

    def stop(self, *, seconds: float = 10) -> int:
        """Ask it to end, then force it and whatever is left of its group; return how it ended."""
        if self._popen is None:
            return 0
        if self.is_running:
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill_group()
        code = self._popen.wait(seconds)
        self._kill_rest_of_group()
        return code

    def kill(self) -> None:
        """End this one process at once, as the kernel does when memory runs out."""
        self.signal(signal.SIGKILL)
        assert self._popen is not None
        self._popen.wait()

    def kill_group(self) -> None:
        """End the process and everything in its group at once."""
        assert self._popen is not None
        self._kill_rest_of_group()
        self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process."""
        assert self._popen is not None, "the process was not started"
        self._popen.send_signal(number)

    def wait(self, *, seconds: float = 20) -> int:
        """Wait for its end and return how it ended."""
        assert self._popen is not None, "the process was not started"
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {seconds} s") from None

    def wait_until(
        self, predicate: Callable[[], object], what: str, *, seconds: float = 20
    ) -> None:
        """Wait for something that this process shall bring about.

        Raises:
            ProcessFailedError: It ended before, or was too slow.
        """
        deadline = time.monotonic() + seconds
        while not predicate():
            if not self.is_running:
                raise self.failed(f"ended with {self.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self.failed(f"needed more than {seconds} s for {what}")
            time.sleep(0.02)

    def wait_for_log(self, text: str, *, seconds: float = 20) -> None:
        """Wait until this start has logged some text."""
        self.wait_until(lambda: text in self.log_text(), f"the log says {text!r}", seconds=seconds)

    def log_text(self) -> str:
        """Return what this start has logged so far."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def failed(self, what: str) -> ProcessFailedError:
        """Return an error that tells what went wrong and shows the end of the log."""
        tail = "\n".join(self.log_text().splitlines()[-60:])
        return ProcessFailedError(f"{' '.join(self.command)} {what}", tail)

    def descendants(self) -> list[int]:
        """Return the ids of its children and theirs, oldest first."""
        return descendants_of(self.pid)

    def _kill_rest_of_group(self) -> None:
        # The group's id stays taken while any of its members lives, so this hits nobody else.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def descendants_of(pid: int) -> list[int]:
    """Return the ids of a process's children and theirs, parents before children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants_of(child)]
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _die_with(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        # A shell that runs the tests in the background ignores Ctrl-C, and hands that on.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above took hold.
        if os.getppid() != parent:
            os._exit(1)

    return prepare
