from __future__ import annotations

import statistics as library
import time

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from celeriac.engine.app import create_celery
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.contract import Contract
from celeriac.errors import InvalidArgumentsError
from celeriac.samples import MODULES, NAMES
from celeriac.samples.flaky import flaky
from celeriac.samples.numbers import SEGMENT, primes, statistics
from celeriac.samples.text import CommonWord, process, wordcount
from celeriac.settings import Settings

app = Celery("samples", broker="memory://", backend="cache+memory://")


def test_the_samples_can_be_told_from_ones_own_tasks() -> None:
    registered = create_celery(Settings(broker_url="memory://"), include=MODULES)
    registered.loader.import_default_modules()

    # Celery gives an app the tasks of other test modules that this process has run, too.
    names = Catalogue(registered).names()
    assert {name for name in names if registered.tasks[name].__module__ in MODULES} == NAMES


def test_process_gives_back_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PROCESS_SECONDS", "0.01")

    assert process("example data") == "Processed: example data"


def test_process_takes_as_long_as_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PROCESS_SECONDS", "0.2")
    began = time.monotonic()

    process("")

    assert time.monotonic() - began == pytest.approx(0.2, abs=0.15)


def test_process_is_called_by_that_name() -> None:
    assert app.tasks["process"].contract.schema["required"] == ["data"]


def test_wordcount_counts_words_lines_and_characters() -> None:
    counted = wordcount("The cat\nand the dog")

    assert (counted.words, counted.lines, counted.characters) == (5, 2, 19)
    assert counted.most_common[0] == CommonWord(word="the", count=2)


def test_wordcount_of_nothing_is_nothing() -> None:
    assert wordcount("").model_dump() == {
        "words": 0,
        "lines": 0,
        "characters": 0,
        "most_common": [],
    }


NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


@given(NUMBERS)
def test_statistics_agree_with_the_library(numbers: list[float]) -> None:
    found = statistics(numbers)

    assert found.count == len(numbers)
    assert found.mean == pytest.approx(library.fmean(numbers))
    assert found.median == library.median(numbers)
    assert found.quantiles[1] == pytest.approx(found.median)
    assert found.deviation == pytest.approx(library.pstdev(numbers), abs=1e-6)


def test_statistics_of_one_number_are_that_number() -> None:
    found = statistics([7.0])

    assert (found.mean, found.quantiles, found.deviation) == (7.0, [7.0, 7.0, 7.0], 0.0)


@pytest.mark.parametrize(
    "numbers", [[], ["1"], [1e200], [0.0] * 100_001], ids=["none", "text", "huge", "too many"]
)
def test_statistics_refuse_what_they_cannot_count(numbers: list[object]) -> None:
    contract: Contract = app.tasks["numbers.statistics"].contract

    with pytest.raises(InvalidArgumentsError):
        contract.check({"numbers": numbers})


@pytest.mark.parametrize(
    ("n", "count", "last"),
    [
        (0, 0, []),
        (1, 0, []),
        # Below two there is none, below three there is one.
        (2, 0, []),
        (3, 1, [2]),
        (10, 4, [2, 3, 5, 7]),
        # A segment's edge: 65537 is prime, and stands first in the second segment but one.
        (SEGMENT + 1, 6542, [65521]),
        (SEGMENT + 2, 6543, [65521, 65537]),
        (1_000_000, 78498, [999983]),
    ],
)
def test_primes_are_counted_across_segments(n: int, count: int, last: list[int]) -> None:
    found = primes(n)

    assert found.count == count
    assert found.last[-len(last) or len(found.last) :] == last


def test_flaky_fails_twice_before_it_succeeds() -> None:
    outcome = flaky.apply()

    assert outcome.result == "Succeeded on attempt 3"


def test_flaky_called_plainly_fails() -> None:
    with pytest.raises(ConnectionError, match="attempt 1"):
        flaky()
