"""What `up` tells the person who started it: pure functions that make lines, and their printer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from celeriac.samples import NAMES as SAMPLES
from celeriac.wording import as_typed_here

STOPPING = "  stopping: running tasks may finish; Ctrl-C again hurries them"
# The widths of the name and of what is told of it.
_NAME = 10
_FACTS = 56
_TASKS = 90
_FIRST_TASK = "text.wordcount"
_GREEN, _YELLOW, _RED, _FAINT, _PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[0m"
_COLOURS = {"✓": _GREEN, "!": _YELLOW, "✗": _RED}
_WITHOUT_UNICODE = str.maketrans({"✓": "+", "✗": "x", "…": ".", "·": "-"})
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How lines look where they are shown."""

    has_colour: bool
    has_unicode: bool

    def dress(self, line: str) -> str:
        """Return a line as it is shown: its mark in colour where there is colour."""
        line = printable(line)
        colour = _COLOURS.get(line[:1])
        if self.has_colour and colour:
            line = f"{colour}{line[:1]}{_PLAIN}{line[1:]}"
        return line if self.has_unicode else line.translate(_WITHOUT_UNICODE)


def printable(text: str) -> str:
    """Return a text in which nothing steers the terminal that shows it.

    A queue's name, a pause's reason or a line of a log holds whatever somebody sent.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def style_for(stream: TextIO, environment: Mapping[str, str]) -> Style:
    """Return the style for a stream: plain when nobody sits before it, or asks for it so."""
    is_terminal = stream.isatty() and environment.get("TERM") != "dumb"
    try:
        "✓".encode(stream.encoding or "ascii")
        has_unicode = True
    except (UnicodeEncodeError, LookupError):
        has_unicode = False
    return Style(
        has_colour=is_terminal and not environment.get("NO_COLOR"), has_unicode=has_unicode
    )


class Printer:
    """Prints lines in the style of their stream."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self._style = style

    def say(self, *lines: str) -> None:
        """Print the lines; a terminal that was closed is no reason to stop."""
        with contextlib.suppress(OSError, ValueError):
            for line in lines:
                self._stream.write(self._style.dress(line) + "\n")
            self._stream.flush()


def heading(version: str, data_dir: Path, *, is_new: bool) -> str:
    """Return the first line."""
    return f"celeriac {version}  data {data_dir}{' (new)' if is_new else ''}"


def ready_line(name: str, facts: str, took: timedelta) -> str:
    """Return the line of a program that is ready, with the time it needed."""
    return f"✓ {name:<{_NAME}} {facts:<{_FACTS}} {took.total_seconds():5.1f} s"


def note_line(name: str, facts: str) -> str:
    """Return a line about something that needs no start."""
    return f"✓ {name:<{_NAME}} {facts}"


def warning_line(name: str, facts: str) -> str:
    """Return a line about something a person should know."""
    return f"! {name:<{_NAME}} {facts}"


def said_line(name: str, facts: str) -> str:
    """Return a line about something that somebody says, and that is as it should be."""
    return f"· {name:<{_NAME}} {facts}"


def below(facts: str) -> str:
    """Return what goes on from the line above."""
    return f"  {'':<{_NAME}} {facts}"


def taken_port_line(name: str, *, taken: int, holder: str, port: int) -> str:
    """Return the line that says why a program does not listen where it should."""
    return warning_line(name, f"port {taken} is held by {holder}; taking {port}")


def ended_line(name: str, *, code: int, lived: timedelta, pause: timedelta, log: Path) -> str:
    """Return the line of a program that ended by itself and is started again."""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return (
        f"✗ {name:<{_NAME}} ended with {how} after {lived.total_seconds():.1f} s; "
        f"starting again in {pause.total_seconds():.0f} s  ({log})"
    )


def new_code_line(
    *,
    changed: Sequence[str] = (),
    deleted: Sequence[str] = (),
    new: Collection[str] = (),
    gone: Collection[str] = (),
) -> str:
    """Return the line that says that programs start again, and why.

    Args:
        changed: Files that were written, by their names.
        deleted: Files that are not there any more.
        new: Tasks that were not there before.
        gone: Tasks that were.
    """
    told = []
    if new:
        count = "1 new task" if len(new) == 1 else f"{len(new)} new tasks"
        told.append(f"{count}: {_some(sorted(new), most=5)}")
    if changed:
        told.append(f"{_some(changed, most=3)} changed")
    if deleted:
        were = "was" if len(deleted) == 1 else "were"
        told.append(f"{_some(deleted, most=3)} {were} deleted")
    if gone:
        count = "1 task is gone" if len(gone) == 1 else f"{len(gone)} tasks are gone"
        told.append(f"{count}: {_some(sorted(gone), most=5)}")
    return note_line("reload", "; ".join([*told, "worker and web start again"]))


def _some(names: Sequence[str], *, most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def kept_code_lines(problem: str) -> tuple[str, str]:
    """Return the lines about new code that cannot be imported."""
    mend = f"what runs goes on with the code it has; {mending(has_reload=True)}"
    return f"✗ {'reload':<{_NAME}} {problem}", below(mend)


def mending(*, has_reload: bool) -> str:
    """Return what somebody does about a task module that cannot be imported."""
    return "mend it and save: it is taken up by itself" if has_reload else "mend it and start again"


def unloaded_lines(problems: Sequence[str], *, has_reload: bool) -> tuple[str, ...]:
    """Return the lines about task modules that could not be imported, for the end of all."""
    if not problems:
        return ()
    mark = f"✗ {'tasks':<{_NAME}} "
    return (
        *(mark + each for each in problems),
        below(f"the other tasks work; {mending(has_reload=has_reload)}"),
        "",
    )


def tasks_line(names: Sequence[str]) -> str:
    """Return the line about what can be submitted: one's own tasks, and then the samples."""
    if not names:
        return note_line("tasks", as_typed_here("none yet: celeriac init writes a file with one"))
    shown = ""
    for position, name in enumerate(sorted(names, key=lambda each: (each in SAMPLES, each))):
        left = f" and {len(names) - position} more"
        if len(f"{shown} {name}{left}") > _TASKS:
            shown += left
            break
        shown += f" {name}"
    return note_line("tasks", f"{len(names)}:{shown}")


def try_words(names: Sequence[str]) -> str:
    """Return the words of a command that is worth a try."""
    if _FIRST_TASK in names:
        return f'submit {_FIRST_TASK} text="hello world" --watch'
    return f"tasks describe {names[0]}" if names else "init"


def closing_lines(
    *,
    url: str,
    took: timedelta,
    flower: str,
    logs: Path,
    grace: timedelta,
    start_link: str,
    to_try: str,
) -> tuple[str, ...]:
    """Return what stands under the ready lines.

    Args:
        url: Where the service answers.
        took: From the start to the last ready line.
        flower: Where Flower is shown.
        logs: The folder of the programs' logs.
        grace: How long running tasks may finish at the end.
        start_link: Where the first admin chooses a password; empty when there is one.
        to_try: A command that is worth a try; empty when there is none.
    """
    where = f"{start_link}    one use, 30 minutes: choose your password" if start_link else url
    return (
        "",
        f"  Ready in {took.total_seconds():.1f} s",
        f"  Open   {where}",
        *([f"  Try    {to_try}"] if to_try else ()),
        f"  Flower {flower}",
        f"  Logs   {logs}",
        f"  Stop   Ctrl-C (running tasks get {grace.total_seconds():.0f} s to finish)",
        "",
    )
