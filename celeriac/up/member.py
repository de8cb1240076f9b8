"""One supervised program: started, watched until it is ready, started again when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from celeriac.errors import ProgramFailedError
from celeriac.up.children import HURRIED, Child, Guardian, Program, pause_before_restart
from celeriac.up.log_lines import loud_lines, tail
from celeriac.up.logs import LogReader
from celeriac.up.report import ended_line, ready_line, warning_line

# A program that never was ready and ends as often as this will not be helped by another start.
_FIRST_STARTS = 3
# How a program ends whose settings or options are broken: once more would be no different.
_REFUSED = 2
# By the kernel, for want of memory, or by somebody: as `find_exit_code` says it.
_KILLED = -9
# After a life of this length an ending counts as the first one again.
_LONG_LIFE = timedelta(minutes=1)
_SLOW = timedelta(seconds=30)
# Whoever waits for a program that was ready, or is to be, waits no longer than this; our own client
# gives up after 30 s.
_LONG_AWAY = timedelta(seconds=20)
# Log lines shown per look, so that a flood leaves the terminal readable.
_LOUD_LINES = 5

Say = Callable[[str], None]
# Given a line of a log: whether somebody else tells of it.
Take = Callable[[str], bool]


class Member:
    """A program among those that `up` runs."""

    def __init__(
        self, program: Program, guardian: Guardian, say: Say, take: Take = lambda _: False
    ) -> None:
        self.program = program
        self._guardian = guardian
        self._say = say
        self._take = take
        self._child: Child | None = None
        self._is_ready = False
        self._was_ready = False
        self._was_slow = False
        self._endings = 0
        self._last_words: list[str] = []
        self._log_start = 0
        self._start_at = time.monotonic()
        # When it was asked to end, to start again; None when it was not.
        self._restart_since: float | None = None
        self._is_hurried = False
        # When it was last seen ready, or when we began; whether it ended since before it was ready.
        self._away_since = self._start_at
        self._is_failing = False
        self._log = LogReader(program.log)

    @property
    def is_ready(self) -> bool:
        """Whether it does its work now."""
        return self._is_ready

    def look(self) -> None:
        """Do what is due: start it, see whether it is ready, or whether it has ended.

        Raises:
            ProgramFailedError: It ended again and again and never was ready.
        """
        self._do_what_is_due()
        now = time.monotonic()
        if self._is_ready:
            self._away_since, self._is_failing = now, False
        elif self._is_failing or now > self._away_since + _LONG_AWAY.total_seconds():
            self.program.when_hopeless()

    def show_log(self) -> None:
        """Show what it said that somebody should see."""
        said = [line for line in self._log.read_lines() if not self._take(line)]
        self._log.limit()
        if not self.program.has_news:
            return
        for line in loud_lines(self.program.name, said, most=_LOUD_LINES, log=self.program.log):
            self._say(line)

    def restart(self) -> None:
        """Have it end in order and start again; `look` sees it through."""
        self._endings = 0
        self._is_failing = False
        self._start_at = time.monotonic()
        if self._child is not None and self._restart_since is None:
            self._restart_since = self._start_at
            self._is_hurried = self._is_ready = False
            self._child.ask_to_end()

    def ask_to_end(self) -> None:
        """Ask it to finish what it runs and to end."""
        if self._child is not None:
            self._child.ask_to_end()

    def hurry(self) -> None:
        """Ask it to give back what it runs and to end."""
        if self._child is not None and self.program.hurry is not None:
            self._say(
                warning_line(self.program.name, "gives back what it runs, which then begins anew")
            )
            self._child.ask_to_end(self.program.hurry)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def has_ended(self) -> bool:
        """Say whether it has ended, when it was asked to."""
        if self._child is not None and self._child.find_exit_code() is not None:
            self._child = None
        return self._child is None

    def _do_what_is_due(self) -> None:
        if self._child is None:
            if time.monotonic() >= self._start_at:
                self._start()
            return
        code = self._child.find_exit_code()
        if self._restart_since is not None:
            self._see_restart_through(self._restart_since, has_ended=code is not None)
        elif code is not None:
            self._note_end(code, timedelta(seconds=time.monotonic() - self._child.started))
        elif not self._is_ready:
            self._look_whether_ready(self._child)

    def _start(self) -> None:
        self.program.prepare()
        log = self.program.log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._child = Child(self.program, self._guardian)

    def _see_restart_through(self, since: float, *, has_ended: bool) -> None:
        waited = timedelta(seconds=time.monotonic() - since)
        if has_ended:
            self._restart_since = self._child = None
            self._start()
        elif waited > self.program.grace + HURRIED:
            self.kill()
            self._restart_since = None
        elif waited > self.program.grace and not self._is_hurried:
            self._is_hurried = True
            self.hurry()

    def _look_whether_ready(self, child: Child) -> None:
        facts = self.program.find_ready(child.pid)
        took = timedelta(seconds=time.monotonic() - child.started)
        if facts is not None:
            self._is_ready = self._was_ready = True
            self._say(ready_line(self.program.name, facts, took))
        elif took > _SLOW and not self._was_slow:
            self._was_slow = True
            waited = f"not ready after {_SLOW.total_seconds():.0f} s; see {self.program.log}"
            self._say(warning_line(self.program.name, waited))

    def _note_end(self, code: int, lived: timedelta) -> None:
        self._child = None
        self._is_failing = not self._is_ready
        self._is_ready = False
        self._was_slow = False
        self._endings = 1 if lived > _LONG_LIFE else self._endings + 1
        name, log = self.program.name, self.program.log
        # Whoever is killed had no time to say why.
        is_telling = self.program.is_telling
        last_words = (
            [] if code == _KILLED else tail(log, since_bytes=self._log_start, is_telling=is_telling)
        )
        # Started again, it mostly ends with the same words.
        for line in last_words if last_words != self._last_words else ():
            self._say(line)
        self._last_words = last_words
        is_hopeless = code == _REFUSED or self._endings >= _FIRST_STARTS
        if not self._was_ready and is_hopeless:
            raise ProgramFailedError(name, code, str(log))
        pause = pause_before_restart(self._endings)
        self._start_at = time.monotonic() + pause.total_seconds()
        self._say(ended_line(name, code=code, lived=lived, pause=pause, log=log))
