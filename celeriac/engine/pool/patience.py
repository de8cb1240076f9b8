"""How a worker bears a ledger that is away: it tries again, after longer and longer pauses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_MOST_DOUBLINGS = 10
# A worker that was told to end at once tries no more often to write down what it held.
_MOST_FAILURES_AT_THE_END = 5


class Patience:
    """Counts failures in a row."""

    def __init__(
        self,
        longest_seconds: float = _LONGEST_PAUSE_SECONDS,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest_seconds = min(longest_seconds, _LONGEST_PAUSE_SECONDS)
        self._monotonic = monotonic
        self._failures = 0
        # When to try again, by the monotonic clock: not before, whatever comes in meanwhile.
        self.again_at = 0.0

    @property
    def is_at_its_end(self) -> bool:
        """Whether a worker that shall end at once has tried often enough."""
        return self._failures > _MOST_FAILURES_AT_THE_END

    def failed(self, error: Exception, *, held: int) -> None:
        """Take note of a failure."""
        self._failures += 1
        self.again_at = self._monotonic() + self.pause_seconds()
        # Told at the 1st, 2nd, 4th, 8th … failure: an outage shall not fill the log.
        if self._failures.bit_count() == 1:
            logger.warning(
                "the ledger is unavailable; this worker claims nothing until it is back",
                extra={"error": str(error), "held": held},
            )

    def succeeded(self) -> None:
        """Take note that the ledger is there."""
        self._failures = 0
        self.again_at = 0.0

    def hurry(self) -> None:
        """Have the next attempt made at once; callable from any thread."""
        self.again_at = 0.0

    def pause_seconds(self) -> float:
        """Return how long to wait before the next attempt."""
        doublings = min(self._failures, _MOST_DOUBLINGS)
        return min(_FIRST_PAUSE_SECONDS * float(1 << doublings), self._longest_seconds)
