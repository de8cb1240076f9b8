"""Which names somebody may have meant by one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 3
# Of 1. With difflib's own 0.6 `proces` means `numbers.primes` too.
_LEAST_LIKENESS = 0.7
# So many letters of a name may stand for all of it.
_LEAST_BEGINNING = 3
# More are not compared: each takes some ten microseconds, and somebody waits for the answer.
_MOST_COMPARED = 2000
# What is longer than any name we have is no slip of a finger.
_LONGEST = 100


def nearest(word: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names most like a word, the most likely first; at most three.

    Upper and lower case are alike, the last part of a dotted name stands for it, and so does the
    beginning of either: `wordcout` and `word` mean `text.wordcount`.
    """
    if len(word) > _LONGEST:
        return ()
    wanted = word.casefold()
    by_likeness: dict[str, list[str]] = {}
    for name in list(names)[:_MOST_COMPARED]:
        whole = name.casefold()
        for part in {whole, whole.rpartition(".")[2]}:
            by_likeness.setdefault(part, []).append(name)
    close = get_close_matches(wanted, by_likeness, n=_MOST, cutoff=_LEAST_LIKENESS)
    if len(wanted) >= _LEAST_BEGINNING:
        close += [part for part in by_likeness if part.startswith(wanted)]
    found = dict.fromkeys(name for part in close for name in sorted(by_likeness[part]))
    return tuple(found)[:_MOST]


def did_you_mean(names: Iterable[str]) -> str:
    """Return the question, empty when there is nothing to ask."""
    *others, last = tuple(names) or ("",)
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"did you mean {listed}?" if listed else ""
