"""What the papers show, cut out so that a test can run it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.servers.processes import PROJECT


def read(name: str) -> str:
    """Return the text of a paper by its path in the project."""
    return (PROJECT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of a language in the order in which they stand there."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def block_with(text: str, language: str, part: str) -> str:
    """Return the one block of a language that holds some text."""
    (found,) = [block for block in blocks(text, language) if part in block]
    return found


def dialogues(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the `console` blocks, and the lines it is shown to answer with."""
    for block in blocks(text, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *answer = part.splitlines()
            yield command, answer
