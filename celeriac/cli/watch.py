"""Following a task on the terminal until it has ended."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

from celeriac.cli.remote import say
from celeriac.cli.render import ended_line, watch_line
from celeriac.core.state import TaskState
from celeriac.errors import CeleriacError
from celeriac.up.report import printable, style_for
from celeriac.wording import as_typed_here

if TYPE_CHECKING:
    from celeriac.client import Handle, RemoteTask

_CLEAR_LINE = "\r\033[K"
_GOES_ON = "the task goes on: celeriac wait {}"


class Watcher:
    """Shows how a task stands: over one line for people, a line a change for a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._style = style_for(stream, os.environ)
        self._is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._last_state = ""
        self._is_missing = False

    def show(self, task: RemoteTask) -> None:
        """Show a task as it stands now."""
        self._is_missing = False
        line = printable(watch_line(task, now=datetime.now(UTC)))
        if self._is_live:
            # Narrower than the window, or the next one would not write over all of it.
            self._write(_CLEAR_LINE + line[: _columns() - 1])
        elif task.state.value != self._last_state and not task.state.is_final:
            self._write(line + "\n")
        self._last_state = task.state.value

    def miss(self, error: CeleriacError) -> None:
        """Say once that the service does not tell, and that it is asked again."""
        if not self._is_missing:
            self._is_missing = True
            self.end(f"{as_typed_here(str(error))}; asking again until it tells")

    def end(self, line: str = "") -> None:
        """Leave the line, with a last word."""
        if self._is_live:
            self._write(_CLEAR_LINE)
        if line:
            self._write(printable(line) + "\n")

    def _write(self, text: str) -> None:
        if not self._style.has_unicode:
            text = text.replace("█", "#").replace("░", ".")
        self._stream.write(text)
        self._stream.flush()


def watch_to_end(handle: Handle, *, timeout: timedelta | None = None) -> RemoteTask:
    """Follow a task and return it once it has ended.

    Raises:
        WaitTimeoutError: It has not ended in time; it goes on.
        KeyboardInterrupt: The person has seen enough; it goes on.
    """
    watcher = Watcher(sys.stderr)
    task = None
    try:
        for task in handle.watch(timeout, on_away=watcher.miss):
            watcher.show(task)
    except KeyboardInterrupt:
        watcher.end()
        say(_GOES_ON.format(handle.id))
        raise
    except BaseException:
        watcher.end()
        raise
    if task is None:
        raise AssertionError("a watch shows the task at least once")
    watcher.end(ended_line(task))
    return task


def wait_for_end(handle: Handle, *, timeout: timedelta | None = None) -> RemoteTask:
    """Wait for a task without showing it, and return it once it has ended.

    How it ended is told when it did not complete.

    Raises:
        WaitTimeoutError: It has not ended in time; it goes on.
        KeyboardInterrupt: The person has waited enough; it goes on.
    """
    try:
        task = handle.wait(timeout)
    except KeyboardInterrupt:
        say(_GOES_ON.format(handle.id))
        raise
    if task.state is not TaskState.COMPLETED:
        say(ended_line(task))
    return task


def _columns() -> int:
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns, 20)
    except OSError:
        return 80
