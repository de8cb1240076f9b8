"""Runs the programs together: starts them, keeps them running, ends them in order."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType

from celeriac.up.children import HURRIED, Child, Guardian, Program
from celeriac.up.member import Member, Say, Take

# How long a look waits for a signal: short while something is about to become ready.
_STARTING_PAUSE = 0.03
_RUNNING_PAUSE = 0.25
# The ones that ask us to end; the last is not known on every system.
ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


class StopRequestedError(Exception):
    """Somebody asked us to end before everything was started."""


class Supervisor:
    """Keeps programs running until somebody asks it to end."""

    def __init__(
        self, say: Say, *, check: Callable[[], None] = lambda: None, take: Take = lambda _: False
    ) -> None:
        """Run programs.

        Args:
            say: Where to tell how they do.
            check: Called before every look; what it raises ends the looking.
            take: Takes over lines of the programs' logs that somebody else tells of.
        """
        self._say = say
        self._check = check
        self._take = take
        self._guardian = Guardian()
        # In the order of their start; a later group uses what an earlier one offers.
        self._groups: list[list[Member]] = []
        # A signal handler may only put into a queue of this kind: `put` is reentrant.
        self._signals: SimpleQueue[int] = SimpleQueue()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals that ask us to end, and a child's end as a reason to look."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.put(number)

        wanted = (*ENDING, *filter(None, [getattr(signal, "SIGCHLD", None)]))
        before = {number: signal.signal(number, note) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def start(self, programs: Sequence[Program]) -> None:
        """Start programs, all at once; they are not waited for."""
        self._groups.append(
            [Member(each, self._guardian, self._say, self._take) for each in programs]
        )
        self._look()

    def wait_until_ready(self) -> None:
        """Return when everything that was started is ready.

        Raises:
            ProgramFailedError: One ended again and again and never was ready.
            StopRequestedError: Somebody asked us to end meanwhile.
        """
        while not all(member.is_ready for member in self._members):
            self._wait_and_look()

    def run(self, turn: Callable[[], None] = lambda: None) -> None:
        """Keep everything running until somebody asks us to end.

        Args:
            turn: Called at every look, a few times a second.
        """
        with contextlib.suppress(StopRequestedError):
            while True:
                self._wait_and_look()
                turn()

    def restart(self, names: Collection[str]) -> None:
        """Have programs end in order and start again; they are not waited for."""
        for member in self._members:
            if member.program.name in names:
                member.restart()

    def spawn(self, program: Program) -> Child:
        """Start a program that ends by itself; whoever asked looks after it."""
        return Child(program, self._guardian)

    def stop(self) -> None:
        """End everything, what was started last first.

        A program gets its grace; another signal, or the end of the grace, makes it hurry, and
        then it is killed. Everything has ended when this returns.
        """
        for group in reversed(self._groups):
            self._end(group)
        self._guardian.close()

    @property
    def _members(self) -> list[Member]:
        return [member for group in self._groups for member in group]

    def _end(self, members: Sequence[Member]) -> None:
        running = list(members)
        for member in running:
            member.ask_to_end()
        began = time.monotonic()
        hurried_at: float | None = None
        while running := [member for member in running if not member.has_ended()]:
            now = time.monotonic()
            was_asked_again = self._wait_for_signal(_STARTING_PAUSE) in ENDING
            grace = max(member.program.grace for member in running).total_seconds()
            if hurried_at is None:
                if was_asked_again or now > began + grace:
                    hurried_at = now
                    for member in running:
                        member.hurry()
            elif was_asked_again or now > hurried_at + HURRIED.total_seconds():
                for member in running:
                    member.kill()

    def _wait_and_look(self) -> None:
        is_starting = any(not member.is_ready for member in self._members)
        if self._wait_for_signal(_STARTING_PAUSE if is_starting else _RUNNING_PAUSE) in ENDING:
            raise StopRequestedError
        self._check()
        self._look()

    def _look(self) -> None:
        for member in self._members:
            member.look()
            member.show_log()

    def _wait_for_signal(self, seconds: float) -> int | None:
        try:
            return self._signals.get(timeout=seconds)
        except Empty:
            return None
