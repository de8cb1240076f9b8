"""What a queue may be called, wherever somebody gives it its name: one rule for all of them.

An app of Celery's may give its queues other names. They are served, listed, paused and resumed
under these; nobody makes such a name here.
"""

from __future__ import annotations

import re

QUEUE_PATTERN = r"^[A-Za-z0-9_.:-]{1,100}$"
# The same for people.
QUEUE_RULE = "1 to 100 letters, digits and _ . : -"

_QUEUE = re.compile(QUEUE_PATTERN)


def is_queue_name(text: str) -> bool:
    """Return whether a queue may be called so."""
    return _QUEUE.fullmatch(text) is not None
