"""When a worker speaks to its ledger: at once, unless a moment's wait costs nobody anything."""

from __future__ import annotations

# Outcomes that are written at the latest when there are so many of them.
_MOST_GATHERED = 200
# Of ends, and of claims, in one exchange while callers wait for their turn to write: it takes two
# or three milliseconds.
_MOST_BRIEFLY = 32
# Otherwise, whatever there is.
_MOST_AT_ONCE = 10_000
_LONGEST_REST_SECONDS = 0.02
_GATHER_SECONDS = 0.01
_LONGEST_SECONDS = 0.25
# While tasks gather, so much longer than one exchange takes: a slow ledger gets larger batches
# instead of more work.
_PAUSES_PER_EXCHANGE = 4


class Rhythm:
    """Watches how long exchanges take, and says when the next one is due.

    A task that nothing else waits behind is written and claimed at once. With a backlog in the
    children's hands, none of them is idle meanwhile, and the next exchange is for many.
    """

    def __init__(self) -> None:
        self._pause = _GATHER_SECONDS
        # Since when something waits to be written; by the monotonic clock.
        self._since = 0.0
        # Callers wait for the ledger while this worker writes: it writes little at a time.
        self.is_brief = False
        # Nothing is exchanged before this moment, by the monotonic clock.
        self.rests_until = 0.0

    @property
    def most(self) -> int:
        """How many ends, and how many claims, go into one exchange."""
        return _MOST_BRIEFLY if self.is_brief else _MOST_AT_ONCE

    def gathers_since(self, now: float) -> None:
        """Take note that the first thing to write has come in."""
        self._since = now

    def exchanged(self, seconds: float, now: float) -> None:
        """Take note of how long an exchange took, which is over by the monotonic clock's `now`."""
        # As long as it took, others write, and a caller's own process has the processor.
        self.rests_until = now + min(seconds, _LONGEST_REST_SECONDS) if self.is_brief else 0.0
        pause = seconds * _PAUSES_PER_EXCHANGE
        self._pause = min(max(pause, _GATHER_SECONDS), _LONGEST_SECONDS)

    def due_at(
        self, now: float, *, ended: int, held: int, slots: int, is_more: bool = False
    ) -> float:
        """Return when to speak to the ledger.

        Args:
            now: The monotonic clock.
            ended: Tasks that have ended here and are not written.
            held: Tasks that this worker has a lease of, those included.
            slots: Tasks that can run at the same time.
            is_more: There is more to claim.
        """
        ripe_at = self._ripe_at(now, ended=ended, held=held, slots=slots, is_more=is_more)
        return max(ripe_at, self.rests_until)

    def _ripe_at(self, now: float, *, ended: int, held: int, slots: int, is_more: bool) -> float:
        has_backlog = held - ended > slots
        if not ended or not has_backlog or ended >= min(_MOST_GATHERED, self.most):
            return now
        if is_more and ended * 2 >= held:
            # The other half keeps the children busy until more is claimed.
            return now
        return self._since + self._pause
