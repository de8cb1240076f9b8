"""How long a worker's thread sleeps while outcomes gather.

Each time it wakes costs as much as a short task. Slept through, a moment brings many outcomes in
one read; none of them would be written sooner, and it is for runners that have enough to do until
then.
"""

from __future__ import annotations

# A tenth of the time for which a child is handed tasks at once.
_LONGEST_SECONDS = 0.002
# Whoever has asked for something asks for more: tasks that send tasks wait for each answer.
_AWAKE_SECONDS = 0.05


class Doze:
    """Says how long to sleep before listening again."""

    def __init__(self) -> None:
        # By the monotonic clock.
        self._awake_until = 0.0

    def disturbed(self, now: float) -> None:
        """Take note that a task has asked for something."""
        self._awake_until = now + _AWAKE_SECONDS

    def seconds(self, now: float, *, due_at: float) -> float:
        """Return how long to sleep.

        Args:
            now: The monotonic clock.
            due_at: When what gathers is to be written.
        """
        if now < self._awake_until:
            return 0.0
        return min(max(0.0, due_at - now), _LONGEST_SECONDS)
