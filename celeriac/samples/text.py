"""Sample tasks about text."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from pydantic import BaseModel

from celeriac import Settings, progress, task

PROCESS_STEPS = 20
MOST_COMMON_WORDS = 10


@task(name="process")
def process(data: str) -> str:
    """Process some text.

    Takes five seconds, as real work does, and tells how far it has come.
    """
    # Read at every call: a test shortens it without a second worker.
    duration = Settings.from_environment().process_duration
    began = time.monotonic()
    for step in range(1, PROCESS_STEPS + 1):
        _sleep_until(began, duration * step / PROCESS_STEPS)
        progress(step, PROCESS_STEPS, "processing")
    return f"Processed: {data}"


def _sleep_until(began: float, after: timedelta) -> None:
    # Against the beginning and not the last step, so that what each step costs does not add up.
    time.sleep(max(0.0, began + after.total_seconds() - time.monotonic()))


class CommonWord(BaseModel):
    """A word and how often it stands in the text."""

    word: str
    count: int


class WordCount(BaseModel):
    """What a text is made of."""

    words: int
    lines: int
    characters: int
    # The most common first; words that are equally common in the order of the text.
    most_common: list[CommonWord]


@task(name="text.wordcount")
def wordcount(text: str) -> WordCount:
    """Count the words of a text.

    A word is what stands between spaces; upper and lower case are the same word.
    """
    words = text.casefold().split()
    return WordCount(
        words=len(words),
        lines=len(text.splitlines()),
        characters=len(text),
        most_common=[
            CommonWord(word=word, count=count)
            for word, count in Counter(words).most_common(MOST_COMMON_WORDS)
        ],
    )
