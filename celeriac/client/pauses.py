"""How long to wait between two looks at a task: pure arithmetic."""

from __future__ import annotations

from datetime import timedelta

from celeriac.core.retry import backoff

_FIRST = timedelta(milliseconds=50)
_LONGEST = timedelta(seconds=5)
_FACTOR = 1.5
# However often a task changes: a long one is not asked for more often than this, and a short one
# not much more often than it has lasted.
_STEADY = timedelta(seconds=1)
_SHARE = 0.3


def pause_before_look(
    look: int,
    *,
    waited: timedelta = timedelta(0),
    asked: timedelta | None = None,
    left: timedelta | None = None,
) -> timedelta:
    """Return the pause before another look.

    Args:
        look: Looks since something last changed, counted from 1.
        waited: How long this has been going on.
        asked: The least pause that the service asked for, if it did.
        left: What is left of the caller's time; the pause is not longer.
    """
    pause = backoff(look, first=_FIRST, factor=_FACTOR, longest=_LONGEST)
    pause = max(pause, min(waited * _SHARE, _STEADY))
    if asked is not None:
        pause = max(pause, asked)
    return pause if left is None else max(timedelta(0), min(pause, left))
