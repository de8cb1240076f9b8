"""Tells the person at the terminal which tasks went wrong, in a few words each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from celeriac.core.state import ErrorKind
from celeriac.core.trouble import Trouble
from celeriac.up.logs import LogReader
from celeriac.up.member import Say
from celeriac.up.report import below, warning_line

# In the folder of `up`: there the worker writes what went wrong.
_FILE = "troubles.log"
# So many are told one by one in a stretch of this length; then they are counted.
_MOST = 8
_STRETCH_SECONDS = 10.0
_LONGEST = 160


class Troubles:
    """What went wrong with tasks, told at a pace that a person can read."""

    def __init__(self, say: Say, *, url: str) -> None:
        """Begin.

        Args:
            say: Where to tell.
            url: Where the service answers: each task has its page there.
        """
        self._say = say
        self._url = url
        self._told_at: deque[float] = deque(maxlen=_MOST)
        self._untold = 0

    def tell(self, troubles: Iterable[Trouble], *, now: float | None = None) -> None:
        """Tell what came since the last call; called a few times a second."""
        now = time.monotonic() if now is None else now
        for each in troubles:
            if self._untold or not self._has_room(now):
                self._untold += 1
                continue
            self._told_at.append(now)
            for line in trouble_lines(each, url=self._url):
                self._say(line)
        if self._untold and self._has_room(now):
            self._told_at.append(now)
            count = "1 more attempt" if self._untold == 1 else f"{self._untold} more attempts"
            self._say(warning_line("task", f"{count} went wrong; all tasks that failed:"))
            self._say(below(f"{self._url}/ui/tasks?state=failed"))
            self._untold = 0

    def _has_room(self, now: float) -> bool:
        told_at = self._told_at
        return len(told_at) < _MOST or now - told_at[0] >= _STRETCH_SECONDS


class TroubleReader:
    """Reads what a worker of another process writes down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _FILE
        # Of an earlier start.
        self.path.unlink(missing_ok=True)
        self._reader = LogReader(self.path)

    def read(self) -> list[Trouble]:
        """Return what is new."""
        found = map(Trouble.from_line, self._reader.read_lines())
        self._reader.limit()
        return [each for each in found if each is not None]


def trouble_lines(trouble: Trouble, *, url: str) -> Sequence[str]:
    """Return what is told of one: what happened, and where to read on unless it goes on by itself.

    Args:
        trouble: What went wrong.
        url: Where the service answers.
    """
    line = warning_line("task", _sentence(trouble))
    if not trouble.is_final:
        return (line,)
    return line, below(f"{url}/ui/tasks/{quote(trouble.task_id, safe='')}")


def _sentence(trouble: Trouble) -> str:
    if trouble.is_final:
        tries = f" after {trouble.attempt} attempts" if trouble.attempt > 1 else ""
        if trouble.kind is ErrorKind.WORKER_LOST:
            # It says itself how often.
            tries = ""
        return f"{trouble.name} failed{tries}: {_reason(trouble)}"
    if trouble.kind is ErrorKind.WORKER_LOST:
        return f"{trouble.name} runs again: the process that ran it died (a crash, or no memory)"
    return f"{trouble.name} is tried again after attempt {trouble.attempt}: {_reason(trouble)}"


def _reason(trouble: Trouble) -> str:
    if trouble.limit_seconds is not None:
        return f"stopped at its time limit of {trouble.limit_seconds:g} s"
    said = " ".join(trouble.message.split())
    # What the author of a task says to its caller is whole without a class.
    kind = "" if trouble.type in ("", "Fail") else trouble.type.rpartition(".")[2]
    reason = ": ".join(filter(None, (kind, said))) or trouble.kind.value
    return reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST - 1]}…"
