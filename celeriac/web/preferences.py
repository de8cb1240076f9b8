"""What a caller would rather have (RFC 7240): to wait for the end of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADER = "Prefer"
APPLIED = "Preference-Applied"
MOST_WAIT_SECONDS = 60
# What is said when it has not ended in time.
RESPOND_ASYNC = "respond-async"

_WAIT = re.compile(r'wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?', re.IGNORECASE)


def wait_of(headers: Sequence[str]) -> int:
    """Return how many seconds a request's `Prefer` headers would rather wait; 0 is not at all.

    A preference that cannot be read is none, as the RFC has it, and more than 60 s is 60 s. The
    first one counts.
    """
    for header in headers:
        for part in header.split(","):
            found = _WAIT.fullmatch(part.strip())
            if found is not None:
                return min(int(found[1] or found[2]), MOST_WAIT_SECONDS)
    return 0


def applied_wait(seconds: int) -> str:
    """Return the word for a wait that brought the end."""
    return f"wait={seconds}"
