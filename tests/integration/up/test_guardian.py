from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from celeriac.up.children import Guardian
from tests.servers.processes import is_alive, wait_until

# Starts a program that starts another one, tells their ids and the guardian's, and waits.
SUPERVISOR = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
from celeriac.up.children import Child, Guardian, Program

folder = Path(sys.argv[1])
family = (
    "import subprocess, sys, pathlib;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "pathlib.Path('grandchild').write_text(str(child.pid)); child.wait()"
)
guardian = Guardian()
child = Child(
    Program(
        name="family",
        command=(sys.executable, "-c", family),
        environment=os.environ,
        folder=folder,
        log=folder / "family.log",
        find_ready=lambda pid: "",
    ),
    guardian,
)
while not (folder / "grandchild").exists() or not (folder / "grandchild").read_text():
    time.sleep(0.01)
print(child.pid, (folder / "grandchild").read_text(), guardian._popen.pid, flush=True)
time.sleep(600)
"""


class Family:
    """A supervisor that was started for a test, and everything it started."""

    def __init__(self, folder: Path) -> None:
        self.supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert self.supervisor.stdout is not None
        ids = self.supervisor.stdout.readline().split()
        self.supervisor.stdout.close()
        self.child, self.grandchild, self.guardian = (int(each) for each in ids)

    def kill(self) -> None:
        """End the supervisor as the kernel does when memory runs out."""
        self.supervisor.kill()
        self.supervisor.wait()


def test_kill_9_of_the_supervisor_ends_its_programs_and_what_they_started(tmp_path: Path) -> None:
    family = Family(tmp_path)

    family.kill()

    everyone = (family.child, family.grandchild, family.guardian)
    wait_until(lambda: not any(is_alive(pid) for pid in everyone), "everyone has ended")


def test_on_linux_the_programs_end_even_if_the_guardian_was_killed_before(tmp_path: Path) -> None:
    family = Family(tmp_path)

    os.kill(family.guardian, signal.SIGKILL)
    family.kill()

    wait_until(lambda: not is_alive(family.child), "the program has ended")
    os.kill(family.grandchild, signal.SIGKILL)


def test_a_guardian_that_was_killed_is_replaced_and_learns_of_everyone() -> None:
    guardian = Guardian()
    sleepers = [
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        for _ in range(2)
    ]
    guardian.watch(sleepers[0].pid)

    os.kill(guardian._popen.pid, signal.SIGKILL)
    guardian._popen.wait()
    guardian.watch(sleepers[1].pid)
    guardian.close()

    assert [sleeper.wait() for sleeper in sleepers] == [-signal.SIGKILL] * 2


def test_a_guardian_leaves_alone_what_it_was_told_to_forget() -> None:
    guardian = Guardian()
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    guardian.watch(sleeper.pid)

    guardian.forget(sleeper.pid)
    guardian.close()

    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()
