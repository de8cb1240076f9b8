"""Sample tasks about numbers."""

from __future__ import annotations

import math
import statistics as stats
from typing import Annotated

from pydantic import BaseModel, Field

from celeriac import progress, task

# Beyond this a square no longer fits a float.
LARGEST = 1e100
MOST_NUMBERS = 100_000

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class Statistics(BaseModel):
    """What some numbers have in common."""

    count: int
    mean: float
    median: float
    # The three numbers between the four quarters.
    quantiles: list[float]
    # Of the numbers as a whole population, not as a sample of one.
    deviation: float


@task(name="numbers.statistics")
def statistics(
    numbers: Annotated[list[Number], Field(min_length=1, max_length=MOST_NUMBERS)],
) -> Statistics:
    """Tell the mean, median, quartiles and deviation of some numbers."""
    mean = stats.fmean(numbers)
    return Statistics(
        count=len(numbers),
        mean=mean,
        median=stats.median(numbers),
        # Of a single number there are no quarters.
        quantiles=stats.quantiles(numbers, n=4, method="inclusive")
        if len(numbers) > 1
        else numbers * 3,
        # By hand: the library's exact fractions take seconds for 100,000 numbers.
        deviation=math.sqrt(math.fsum((each - mean) ** 2 for each in numbers) / len(numbers)),
    )


class Primes(BaseModel):
    """The primes below a bound."""

    count: int
    # The largest few, ascending.
    last: list[int]


SEGMENT = 1 << 16
LAST_SHOWN = 10


@task(name="numbers.primes")
def primes(
    n: Annotated[int, Field(ge=0, le=200_000_000, description="Primes below this")],
) -> Primes:
    """Count the primes below a number.

    Sieves one segment after another, and tells how far it has come.
    """
    base = _small_primes(math.isqrt(max(n - 1, 0)))
    count, last = 0, list[int]()
    for low in range(0, n, SEGMENT):
        found = _sieve_segment(low, min(low + SEGMENT, n), base)
        count += len(found)
        last = (last + found[-LAST_SHOWN:])[-LAST_SHOWN:]
        progress(min(low + SEGMENT, n), n, "sieving")
    return Primes(count=count, last=last)


def _small_primes(most: int) -> list[int]:
    # These few are found by the same sieve, with all of them in one segment.
    if most < 2:
        return []
    return _sieve_segment(0, most + 1, _small_primes(math.isqrt(most)))


def _sieve_segment(low: int, high: int, base: list[int]) -> list[int]:
    """Return the primes from `low` up to and without `high`, given those up to its root."""
    is_prime = bytearray([1]) * (high - low)
    for small in range(low, min(2, high)):
        is_prime[small - low] = 0
    for prime in base:
        first = max(prime * prime, (low + prime - 1) // prime * prime)
        crossed = range(first - low, high - low, prime)
        is_prime[first - low :: prime] = bytes(len(crossed))
    return [low + place for place, kept in enumerate(is_prime) if kept]
