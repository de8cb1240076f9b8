"""What a task prints, logged line by line with the task's name.

Celery puts what is printed in a worker into its log, each piece of a line for itself, and does not
say who printed it.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from celery._state import get_current_task
from celery.app.log import Logging
from celery.utils.log import LoggingProxy
from kombu.utils.encoding import safe_str

# Celery's own name for how it logs (celery 5.7, app/base.py).
_CELERYS = "celery.app.log:Logging"
_LONGEST = 8192

# Lines that are not at their end, by the stream and who prints: whose they are, and what they say.
_begun: dict[tuple[int, object], tuple[Lines, str, str]] = {}


def install(app: Any) -> None:
    """Have it so in the processes of an app that does not log in a way of its own."""
    if app.log_cls == _CELERYS:
        app.log_cls = "celeriac.engine.prints:PrintLogging"


def end_lines(task_id: str) -> None:
    """Log what a task has printed and not ended with a line break."""
    if _begun:
        # Out of a copy, made in one step: in a pool of threads others print meanwhile, and an error
        # here would be taken for the end of a task that has completed.
        for key in [key for key in tuple(_begun) if key[1] == task_id]:
            lines, whose, text = _begun.pop(key)
            lines.log(whose, text)


class PrintLogging(Logging):
    """Celery's logging; what is printed comes as it was printed."""

    def redirect_stdouts_to_logger(
        self,
        logger: Any,
        loglevel: Any = None,
        stdout: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        stderr: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """Have what is printed logged."""
        proxy = super().redirect_stdouts_to_logger(logger, loglevel, stdout=False, stderr=False)
        lines = Lines(proxy.logger, proxy.loglevel)
        if stdout:
            sys.stdout = lines
        if stderr:
            sys.stderr = lines
        return lines


class Lines(LoggingProxy):
    """A stream whose lines are logged when they end."""

    def write(self, data: Any) -> int:
        """Take what is printed; `print` hands over each of its arguments for itself."""
        if self.closed:
            return 0
        key, whose = self._printing()
        _, _, before = _begun.pop(key, (self, "", ""))
        *whole, rest = (before + safe_str(data)).split("\n")
        for line in whole:
            self.log(whose, line)
        if len(rest) > _LONGEST:
            self.log(whose, rest)
        elif rest:
            _begun[key] = (self, whose, rest)
        return len(data)

    def log(self, whose: str, line: str) -> None:
        """Log a line, if there is anything in it."""
        if line.strip():
            super().write(whose + line)

    def flush(self) -> None:
        """Log what is begun, as whoever prints without a line break may want."""
        key, _ = self._printing()
        begun = _begun.pop(key, None)
        if begun is not None:
            lines, whose, text = begun
            lines.log(whose, text)

    def _printing(self) -> tuple[tuple[int, object], str]:
        """Return who prints, and how a line of theirs begins."""
        task = get_current_task()
        if task is None or not task.request.id:
            return (id(self), threading.get_ident()), ""
        # As a task's own logger has it.
        return (id(self), task.request.id), f"{task.name}[{task.request.id}]: "
