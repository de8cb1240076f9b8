"""How long to wait before the next try: pure arithmetic."""

from __future__ import annotations

from datetime import timedelta


def backoff(
    attempt: int,
    *,
    first: timedelta,
    factor: float = 2.0,
    longest: timedelta,
) -> timedelta:
    """Return the pause after a number of tries, growing geometrically up to a bound.

    Args:
        attempt: Tries so far, counted from 1.
        first: The pause after the first try.
        factor: By what each further pause is longer, 1 or more.
        longest: No pause is longer than this.
    """
    # Beyond this power every sensible `longest` is reached, and a float would overflow.
    power = min(max(attempt, 1) - 1, 64)
    return min(longest, timedelta(seconds=first.total_seconds() * factor**power))
