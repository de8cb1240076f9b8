"""How much is done and how much waits, counted once a second for all who look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from celeriac.core.state import FINAL_STATES

Depths = Mapping[tuple[str, str], int]

SECOND = 1.0
# A count that takes long is made seldom: it shall never be more than a tenth of a database's time.
_REST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stood at one moment."""

    number: int
    at: datetime
    # Tasks that ended in each final state, a second.
    rates: Mapping[str, float]
    # Tasks that have not ended, by queue and state.
    depths: Depths

    def to_json(self) -> dict[str, object]:
        """Return it as it is told."""
        depths: dict[str, dict[str, int]] = {}
        for (queue, state), count in sorted(self.depths.items()):
            depths.setdefault(queue, {})[state] = count
        return {"t": self.at.isoformat(), "rates": dict(self.rates), "depths": depths}


class Stats:
    """Adds up what ends, and counts what waits."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._ended: Counter[str] = Counter()
        self._since: float | None = None
        self._depths: Depths = {}
        self._count_due = 0.0
        # The latest; None before the first.
        self.standing: Standing | None = None

    def add(self, ended: Mapping[str, int]) -> None:
        """Note that tasks have ended."""
        self._ended.update(ended)

    def begin(self, at: float) -> None:
        """Begin to add up: what ended before counts for nothing."""
        if self._since is None:
            self._since = at
            self._ended.clear()

    def end(self) -> None:
        """Stop adding up: nobody looks."""
        self._since = None
        self.standing = None

    def is_due(self, at: float) -> bool:
        """Return whether a second has passed."""
        return self._since is not None and at - self._since >= SECOND

    def is_count_due(self, at: float) -> bool:
        """Return whether what waits shall be counted again."""
        return at >= self._count_due

    def counted(self, depths: Depths, *, at: float, took: float) -> None:
        """Take what was counted, and how long that took."""
        self._depths = depths
        self._count_due = at + took * _REST

    def stand(self, at: float) -> None:
        """Close the second."""
        since = at if self._since is None else self._since
        seconds = max(at - since, SECOND)
        rates = {
            state.value: round(self._ended[state.value] / seconds, 1)
            for state in sorted(FINAL_STATES)
        }
        number = 1 if self.standing is None else self.standing.number + 1
        self.standing = Standing(number=number, at=self._now(), rates=rates, depths=self._depths)
        self._ended.clear()
        self._since = at
