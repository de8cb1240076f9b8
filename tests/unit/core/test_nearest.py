from __future__ import annotations

import pytest

from celeriac.core.nearest import did_you_mean, nearest

NAMES = ("hello.greet", "numbers.primes", "numbers.stats", "process", "text.wordcount")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        # A slip of a finger, with and without what stands before the dot.
        ("text.wordcuont", ("text.wordcount",)),
        ("wordcout", ("text.wordcount",)),
        ("greet", ("hello.greet",)),
        ("Proces", ("process",)),
        # Its beginning; the likeliest first.
        ("word", ("text.wordcount",)),
        ("numbers", ("numbers.stats", "numbers.primes")),
        ("x", ()),
        ("", ()),
        ("process" * 100, ()),
    ],
)
def test_the_names_that_may_have_been_meant_are_found(word: str, meant: tuple[str, ...]) -> None:
    assert nearest(word, NAMES) == meant


def test_no_more_than_three_are_named() -> None:
    assert len(nearest("task", [f"task{number}" for number in range(9)])) == 3


@pytest.mark.parametrize(
    ("names", "question"),
    [
        ((), ""),
        (("up",), "did you mean up?"),
        (("get", "key", "user"), "did you mean get, key or user?"),
    ],
)
def test_the_question_names_them_all(names: tuple[str, ...], question: str) -> None:
    assert did_you_mean(names) == question
