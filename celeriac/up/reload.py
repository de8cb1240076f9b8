"""New code for running programs: taken when it can be imported, left alone when it cannot."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from celeriac.up.broker import write_private
from celeriac.up.children import Child, Program
from celeriac.up.log_lines import tail
from celeriac.up.member import Say
from celeriac.up.programs import Surroundings
from celeriac.up.report import kept_code_lines, new_code_line
from celeriac.up.sources import Sources

_LOOK_SECONDS = 0.5
# In the folder of `up`: what is wrong with code that was not taken; there while we watch.
REFUSED_FILE = "refused.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a process gets when it imports the tasks."""

    tasks: frozenset[str] = frozenset()
    files: frozenset[Path] = frozenset()
    # What is wrong, by module; the others load all the same.
    problems: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what the probe wrote down."""
        facts = json.loads(text)
        return cls(
            tasks=frozenset(facts["tasks"]),
            files=frozenset(map(Path, facts["files"])),
            problems=facts["problems"],
        )

    def broken_beside(self, running: Code) -> list[str]:
        """Return what is wrong with modules that were right in the running code."""
        return [
            said for module, said in sorted(self.problems.items()) if module not in running.problems
        ]


def read_refused(folder: Path) -> tuple[str, ...] | None:
    """Return what is wrong with code that was not taken; None where nobody watches for new code.

    Args:
        folder: The one in which `up` keeps its files.
    """
    try:
        return tuple(map(str, json.loads((folder / REFUSED_FILE).read_text(encoding="utf-8"))))
    except OSError:
        return None
    except (ValueError, TypeError):
        # Just being written.
        return ()


class Reloader:
    """Watches the files of the tasks, and has programs started again when they changed."""

    def __init__(
        self,
        around: Surroundings,
        *,
        package: Path | None,
        spawn: Callable[[Program], Child],
        restart: Callable[[], None],
        say: Say,
    ) -> None:
        """Watch from now on.

        Args:
            around: What the probe is started with.
            package: The folder of our own package, when its code may change too.
            spawn: Starts a program.
            restart: Has the programs that run tasks' code started again.
            say: Where to tell.
        """
        self._around = around
        self._package = package
        self._spawn = spawn
        self._restart = restart
        self._say = say
        own = () if package is None else (each for each in package.rglob("*") if each.is_dir())
        self._sources = Sources([around.project.folder, *([package] if package else []), *own])
        self._answer = around.folder / "probe.json"
        # Where the first worker writes what a probe would find.
        self.first_answer = around.folder / "code.json"
        self.first_answer.unlink(missing_ok=True)
        self._refused = around.folder / REFUSED_FILE
        self._keep_refused(())
        self._log = around.log_of("probe")
        self._probe: Child | None = None
        # What the programs run; None until the first probe has told.
        self._running: Code | None = None
        # Files that changed and that the programs have not taken; those the probe was started for.
        self._untaken: set[Path] = set()
        self._asked: set[Path] = set()
        self._has_news = False
        self._look_at = 0.0
        self._told: set[str] = set()

    def turn(self) -> None:
        """Do what is due; called a few times a second."""
        now = time.monotonic()
        code = None if self._probe is None else self._probe.find_exit_code()
        if now >= self._look_at or code is not None:
            self._look_at = now + _LOOK_SECONDS
            self._look()
        if self._has_news and self._running is not None:
            # Editors write several files, or one in several steps: it may have seen half of it.
            self._drop_probe(has_ended=code is not None)
        elif code is not None:
            self._probe = None
            self._judge(self._read(self._answer) if code == 0 else None)
        if self._running is None and self._probe is None and self.first_answer.exists():
            self._judge(self._read(self.first_answer))
        if self._probe is None and (self._has_news or self._running is None):
            self._start_probe()

    def close(self) -> None:
        """Stop looking."""
        if self._probe is not None:
            self._probe.kill()
        with suppress(OSError):
            self._refused.unlink(missing_ok=True)

    def _look(self) -> None:
        changed = self._sources.changes()
        if changed:
            self._untaken |= changed
            self._has_news = True

    def _drop_probe(self, *, has_ended: bool) -> None:
        if self._probe is None:
            return
        if not has_ended:
            self._probe.kill()
        self._probe = None
        self._untaken |= self._asked

    def _start_probe(self) -> None:
        self._answer.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        if self._running is not None:
            self._asked, self._untaken = self._untaken, set()
            self._has_news = False
        self._probe = self._spawn(
            Program(
                name="probe",
                command=(sys.executable, "-m", "celeriac.entries.probe", str(self._answer)),
                environment=self._around.environment,
                folder=self._around.project.folder,
                log=self._log,
                find_ready=lambda _pid: None,
            )
        )

    def _judge(self, found: Code | None) -> None:
        if found is not None:
            self._sources.add(each.parent for each in found.files)
        if self._running is None:
            self._look()
            found = found or Code()
            # What is wrong with the code they were started with, the programs tell themselves.
            # After a change, what the probe found wrong may be newer than what they run.
            self._running = replace(found, problems={}) if self._untaken else found
            return
        broken = [self._last_words()] if found is None else found.broken_beside(self._running)
        for problem in broken:
            if problem not in self._told:
                self._told.add(problem)
                for line in kept_code_lines(problem):
                    self._say(line)
        self._keep_refused(broken)
        if found is None or broken:
            # Not taken: they count when the code is mended.
            self._untaken |= self._asked
            return
        self._told.clear()
        if self._is_part_of(found):
            self._tell(before=self._running, now=found)
            self._running = found
            self._restart()

    def _keep_refused(self, problems: Sequence[str]) -> None:
        # A full disk takes no worker down: what is wrong was said in the terminal as well.
        with suppress(OSError):
            write_private(self._refused, json.dumps(list(problems)))

    def _is_part_of(self, found: Code) -> bool:
        known = found.files | (self._running.files if self._running else frozenset())
        return any(
            path in known or (self._package is not None and path.is_relative_to(self._package))
            for path in self._asked
        )

    def _tell(self, *, before: Code, now: Code) -> None:
        deleted = {path for path in self._asked if not path.exists()}
        self._say(
            new_code_line(
                changed=sorted(path.name for path in self._asked - deleted),
                deleted=sorted(path.name for path in deleted),
                new=now.tasks - before.tasks,
                gone=before.tasks - now.tasks,
            )
        )

    def _last_words(self) -> str:
        said = tail(self._log, lines=1)
        return said[0].strip() if said else f"it ended without a word; see {self._log}"

    def _read(self, answer: Path) -> Code | None:
        try:
            return Code.from_text(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError):
            return None
