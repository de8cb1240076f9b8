"""How many tasks a worker claims ahead of its slots: enough to keep them busy, never a queue."""

from __future__ import annotations

# Work that is claimed ahead, in seconds of one slot's time.
_AHEAD_SECONDS = 0.1
# What one child is handed at once, in seconds of its time: it costs one trip there and back.
_HANDED_SECONDS = 0.02
# Of no-ops: while 200 of them are written, the children run the others.
_MOST_AHEAD = 600
_MOST_HANDED = 256
_MOST_PREFETCHED = 1500
# Of tasks this long none is claimed before a slot is free: another worker may be idle.
_LONG_SECONDS = 0.5
_WEIGHT = 0.1


class Pacer:
    """Watches how long tasks take, and says how many to hold."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def saw(self, runtime_seconds: float) -> None:
        """Take the runtime of one task into account."""
        if self._mean is None:
            self._mean = runtime_seconds
        # A long task counts at once: what is held behind it may wait that long.
        elif runtime_seconds > _LONG_SECONDS:
            self._mean = max(self._mean, runtime_seconds / 2)
        else:
            self._mean += _WEIGHT * (runtime_seconds - self._mean)

    def ahead(self, slots: int) -> int:
        """Return how many tasks to hold that no slot runs yet."""
        if self._mean is None:
            return slots
        if self._mean > _LONG_SECONDS:
            return 0
        return max(1, min(_MOST_AHEAD, int(slots * _AHEAD_SECONDS / max(self._mean, 1e-6))))

    def prefetch(self, slots: int) -> int:
        """Return how many doorbells to have fetched that no slot runs yet."""
        # As many again as are claimed ahead, so that the next claim finds them here.
        return max(1, min(_MOST_PREFETCHED, 2 * (self.ahead(slots) + slots)))

    def handed(self) -> int:
        """Return how many tasks a child may have at once, the one it runs included."""
        if self._mean is None:
            return 1
        return max(1, min(_MOST_HANDED, int(_HANDED_SECONDS / max(self._mean, 1e-6))))
