"""What of the programs' own logs a person should see: pure functions, but for reading a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from celeriac.up.report import said_line, warning_line

# How Celery begins a line of its log, and how it and uvicorn mark one that somebody should see.
_HEAD = re.compile(r"^\[[^\]]*: ([A-Z]+)/[^\]]*\] ?")
_LOUD = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
# Of these there is more to say than Celery knows: `troubles` tells.
_OF_A_TASK = re.compile(
    r"Task \S+\[[^\]]+\] raised unexpected: |a child died while it ran a task"
    r"|a task tried to end its thread|a task ran out of memory"
)
# What a task itself prints or logs: its name and its id stand before it.
_BY_A_TASK = re.compile(r"((?:ERROR |CRITICAL )?)(\S+)\[[0-9a-f-]+\]: ")
# The inside of Python's import, the lines under a line of code, and nothing at all.
_TELLS_NOTHING = re.compile(r"<frozen |_bootstrap\._gcd_import\(|/importlib/__init__|^[\s^~]*$")
_LONGEST = 400
# Valkey's report of a crash has 15 KB, and what happened stands at its beginning.
_TAIL_BYTES = 65_536


def loud_lines(name: str, said: Sequence[str], *, most: int, log: Path) -> list[str]:
    """Return those of a program's log lines that a person should see, at most so many."""
    loud = [words for line in said if (words := loud_words(line))]
    shown = [_loud_line(name, words[:_LONGEST]) for words in loud[:most]]
    if len(loud) > most:
        left = len(loud) - most
        more = "1 more line like these is" if left == 1 else f"{left} more lines like these are"
        more = f"{more} in {log}"
        # Nor is it when a task prints a lot.
        are_printed = all(_is_printed(each) for each in loud[most:])
        shown.append(said_line("task", more) if are_printed else warning_line(name, more))
    return shown


def _loud_line(name: str, words: str) -> str:
    by_task = _BY_A_TASK.match(words)
    if by_task is None:
        return warning_line(name, words)
    level, task = by_task.groups()
    said = f"{level}{task}: {words[by_task.end() :]}"
    # Without a level it is mostly printed, which Celery logs as a warning.
    return warning_line("task", said) if level else said_line("task", said)


def _is_printed(words: str) -> bool:
    by_task = _BY_A_TASK.match(words)
    return by_task is not None and not by_task[1]


def loud_words(line: str) -> str:
    """Return what of a log's line is for a person at a terminal; empty when nothing is."""
    head = _HEAD.match(line)
    if not _LOUD.search(line if head is None else head[1]) or is_of_task(line):
        return ""
    if head is None:
        return line
    said = line[head.end() :]
    return said if head[1] == "WARNING" else f"{head[1]} {said}"


def is_of_task(line: str) -> bool:
    """Say whether a line of a log is about a task that went wrong, which is told otherwise."""
    return _OF_A_TASK.search(line) is not None


def tail(
    log: Path,
    *,
    since_bytes: int = 0,
    lines: int = 8,
    is_telling: Callable[[str], bool] = lambda _line: True,
) -> list[str]:
    """Return the last lines of a log that tell something, indented.

    Args:
        log: The file.
        since_bytes: Where the words begin that count.
        lines: At most so many.
        is_telling: Whether a line of this program tells something.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(since_bytes, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    telling = [
        line for line in text.splitlines() if not _TELLS_NOTHING.search(line) and is_telling(line)
    ]
    return [f"    {line[:_LONGEST]}" for line in telling[-lines:]]
