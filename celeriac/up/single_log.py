"""Where a single process writes what its parts say, and what of it a person should see."""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celeriac.up.log_lines import is_of_task
from celeriac.up.member import Take
from celeriac.up.report import warning_line

_LARGEST_BYTES = 16 * 1024 * 1024
_FORMAT = "[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s"
# Whose threads they are, by how their names begin.
_PARTS = (("celeriac-web", "web"), ("celeriac-flower", "flower"))
# It warns of every worker that was too busy to answer its questions at once.
_WITHOUT_NEWS = ("flower",)


@contextmanager
def logging_to(
    file: Path, level: str, say: Callable[[str], None], take: Take = lambda _: False
) -> Iterator[None]:
    """Have everything logged in a file that only this user may read, and warnings told.

    Args:
        file: The file.
        level: What is less than this is not logged.
        say: Where warnings are told.
        take: Takes over what somebody else tells of.
    """
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    written = logging.handlers.RotatingFileHandler(
        file, maxBytes=_LARGEST_BYTES, backupCount=1, encoding="utf-8"
    )
    written.setFormatter(logging.Formatter(_FORMAT))
    handlers: tuple[logging.Handler, ...] = (written, _Teller(say, take))
    root = logging.getLogger()
    before = root.level
    root.setLevel(level.upper())
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


class _Teller(logging.Handler):
    """Tells warnings to the person at the terminal."""

    def __init__(self, say: Callable[[str], None], take: Take) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one, without its traceback: that stands in the file."""
        part = part_of(record)
        said = record.getMessage()
        if part not in _WITHOUT_NEWS and not is_of_task(said) and not self._take(said):
            if record.levelno > logging.WARNING:
                said = f"{record.levelname} {said}"
            self._say(warning_line(part, said))


def part_of(record: logging.LogRecord) -> str:
    """Return which part of the process says something: web, flower or worker."""
    if record.name.startswith(("flower", "tornado")):
        return "flower"
    thread = record.threadName or ""
    return next((part for begin, part in _PARTS if thread.startswith(begin)), "worker")
