"""What a task tells of itself while it runs."""

from __future__ import annotations

import time

from celery import current_task

# A dashboard shows no more than this, and a loop may report every turn.
MOST_PER_SECOND = 20

PROGRESS = "PROGRESS"


def progress(done: float, total: float | None = None, message: str = "") -> None:
    """Tell how far the running task has come; outside a worker this does nothing.

    At most 20 reports a second go out, and the rest is dropped: call it as often as you like. The
    last one, when `done` has reached `total`, always goes out.

    Args:
        done: Steps done so far, in whatever unit.
        total: Steps in all, None when nobody knows.
        message: What is being done, for people.
    """
    request = current_task.request if current_task else None
    # `apply()` runs a task in the caller's own process: there is nobody to be told.
    if request is None or request.called_directly or request.is_eager:
        return
    now = time.monotonic()
    is_last = total is not None and done >= total
    # Kept on the request, so that the next attempt and the next thread begin anew.
    if not is_last and now < getattr(request, "next_progress_at", now):
        return
    request.next_progress_at = now + 1 / MOST_PER_SECOND
    current_task.update_state(
        state=PROGRESS, meta={"done": done, "total": total, "message": message}
    )
