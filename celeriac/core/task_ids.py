"""New ids of tasks, their random parts drawn many at a time.

Whatever our own code submits has such an id: over HTTP, from a page, by the command line, and by
`.submit()` or `.delay()` of a task of ours. What Celery makes up by itself keeps Celery's own id,
all random: the parts of a canvas, plain `@app.task` functions, and what a plain producer sends.

Asking the system for random numbers lets another thread of this process go first, which under load
makes each question cost more than all else that is done for a task.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque

from celeriac.core.task import TaskId

_TIME = re.compile("[0-9a-f]{12}")
_AT_ONCE = 256
_RANDOM_BYTES = 10

_ready: deque[str] = deque()


def new_task_id() -> TaskId:
    """Return an id that nobody has and nobody can guess: a UUID of version 7.

    It begins with the time, so that tasks of one time lie side by side in the ledger's indexes, and
    ids sort by when they were made, to the millisecond.
    """
    return _put_together(f"{int(time.time() * 1000):012x}", _draw())


def task_id_of(digest: str, *, made: str) -> TaskId:
    """Return the id for a digest: the same for the same one, and of the time of another id.

    Args:
        digest: At least 32 hexadecimal digits.
        made: The id with the time. From any other text comes an id of any time.
    """
    begin = made[:8] + made[9:13]
    return _put_together(begin if _TIME.fullmatch(begin) else digest[20:32], digest)


def _put_together(begin: str, drawn: str) -> TaskId:
    # RFC 9562: 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits.
    variant = "89ab"[int(drawn[3], 16) & 3]
    return TaskId(f"{begin[:8]}-{begin[8:]}-7{drawn[:3]}-{variant}{drawn[4:7]}-{drawn[8:20]}")


def _draw() -> str:
    while True:
        try:
            return _ready.popleft()
        except IndexError:
            drawn = os.urandom(_AT_ONCE * _RANDOM_BYTES).hex()
            step = 2 * _RANDOM_BYTES
            _ready.extend(drawn[at : at + step] for at in range(0, len(drawn), step))


# Two processes must not go on with the same ones; where there is no such function, nobody forks.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_ready.clear)
