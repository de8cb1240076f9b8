"""A traceback as people read it: their own frames in view, a library's folded. Pure functions.

It goes by the text alone. The worker that wrote it may have run on another machine, with another
Python in other folders than those of the service that shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby


class Part(StrEnum):
    """What a piece of a traceback is."""

    # Where one begins, and the exception that ends it.
    TEXT = "text"
    OWN = "own"
    LIBRARY = "library"


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines that follow each other and are shown, or folded away, together."""

    part: Part
    # Without the line break at its end.
    text: str
    # How many frames it holds.
    frames: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in a task's own code through which an exception went."""

    file: str
    line: int
    # Empty where there was none, as for an error of syntax.
    function: str


# In an exception group a frame stands behind bars: `  |   File "x.py", line 1, in f`.
_FRAME = re.compile(r'(?P<margin>[ |]*)File "(?P<file>[^"]*)", line \d+')
# Python's own modules, installed packages (also Debian's), and what was never a file. On Windows
# folders may be written in any case.
_LIBRARY = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|/lib(?:64)?/python3(?:\.\d+)?t?/"
    r"|\\(?:c?python|3\.\d)[^\\]*\\lib\\|^<",
    re.IGNORECASE,
)
# What stands between a task and its worker, also where Celeriac runs from a checkout.
_OURS = re.compile(r"[/\\]celeriac[/\\](?:engine[/\\]|files[/\\](?:file|keeping|store)\.py$)")
# Written to be looked at, as a newcomer's own would be.
_SAMPLES = re.compile(r"[/\\]celeriac[/\\]samples[/\\]")
_RUNNERS = frozenset({"celery", "kombu", "billiard", "celeriac", "pydantic"})
# No file has more lines than so many digits can say; an exception's message may say anything.
_PLACE = re.compile(
    r'^[ |]*File "(?P<file>[^"]*)", line (?P<line>\d{1,9})(?!\d)(?:, in (?P<function>.*))?',
    re.MULTILINE,
)
_HEAD = "Traceback (most recent call last)"
_PACKAGE = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\]+?)(?:\.py)?(?:[/\\]|$)")


def pieces_of(traceback: str) -> tuple[Piece, ...]:
    """Return a traceback in pieces, in order; their lines together are the whole of it."""
    lines = traceback.rstrip("\n").split("\n") if traceback.strip() else []
    frames = list(_frames(lines))
    own_package = _own_package([file for _, file in frames if file])
    marked = [(_part(file, own_package), line_count, file) for line_count, file in frames]
    found = []
    place = 0
    for part, several in groupby(marked, key=lambda each: each[0]):
        group = list(several)
        end = place + sum(line_count for _, line_count, _ in group)
        count = sum(1 for _, _, file in group if file)
        found.append(Piece(part, "\n".join(lines[place:end]), count))
        place = end
    return tuple(found)


def trail_of(traceback: str) -> tuple[Frame, ...]:
    """Return how an exception went through a task's own code, in the order of the calls.

    Of several that caused each other it is the last one that went through it. What libraries did
    before, after and in between is left out; empty when it went through nothing else.
    """
    trails: list[list[Frame]] = [[]]
    for piece in pieces_of(traceback):
        if piece.part is Part.TEXT and _HEAD in piece.text:
            trails.append([])
        elif piece.part is Part.OWN:
            trails[-1] += [
                Frame(place["file"], int(place["line"]), place["function"] or "")
                for place in _PLACE.finditer(piece.text)
            ]
    return tuple(next(filter(None, reversed(trails)), ()))


def _frames(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield how many lines each frame has and its file; what is no frame has none."""
    place = 0
    while place < len(lines):
        frame = _FRAME.match(lines[place])
        end = place + 1
        while frame and end < len(lines) and _goes_on(lines[end], frame["margin"]):
            end += 1
        yield end - place, frame["file"] if frame else ""
        place = end


def _goes_on(line: str, margin: str) -> bool:
    # Its code and the marks under it stand further in. That it is repeated does not.
    return line.startswith((f"{margin}  ", f"{margin}[Previous line repeated"))


def _part(file: str, own_package: str) -> Part:
    if not file:
        return Part.TEXT
    if _is_of_library(file) and not (own_package and _package(file) == own_package):
        return Part.LIBRARY
    return Part.OWN


def _is_of_library(file: str) -> bool:
    if _SAMPLES.search(file):
        return False
    return bool(_LIBRARY.search(file) or _OURS.search(file))


def _own_package(files: Sequence[str]) -> str:
    """Return the installed package that the task itself is of; empty where it is none.

    A task may be deployed as a package. Then no frame is its author's by where it stands, and the
    first one that does not belong to what runs it tells whose it is.
    """
    if any(not _is_of_library(file) for file in files):
        return ""
    packages = (_package(file) for file in files)
    return next((each for each in packages if each and each not in _RUNNERS), "")


def _package(file: str) -> str:
    found = _PACKAGE.search(file)
    return found[1] if found else ""
