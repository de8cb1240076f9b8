"""Answering with a finished task, when its caller would rather wait for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from celeriac.core.task import TaskId
from celeriac.service.reports import TaskReport
from celeriac.web.ends import Ends


async def wait_for_end(
    ends: Ends,
    event: asyncio.Event,
    read: Callable[[], TaskReport],
    *,
    seconds: float,
    is_new: bool = False,
) -> TaskReport:
    """Return a task once it has ended, or as it is when the time is over.

    Args:
        ends: Wakes those who wait.
        event: What it wakes, listening for this task since before this call.
        read: Reads the task.
        seconds: How long to wait.
        is_new: It was not there when the listening began, so that its end cannot be missed.
    """
    deadline = time.monotonic() + seconds
    if is_new and not ends.is_over:
        await ends.pause(event, longest=seconds)
    while True:
        report = await run_in_threadpool(read)
        left = deadline - time.monotonic()
        if report.task.state.is_final or left <= 0 or ends.is_over:
            return report
        await ends.pause(event, longest=left)


async def read_and_wait(
    ends: Ends, task_id: TaskId, read: Callable[[], TaskReport], *, seconds: float
) -> TaskReport:
    """Return a task that is there once it has ended, or as it is when the time is over."""
    report = await run_in_threadpool(read)
    if report.task.state.is_final or not seconds or not ends.has_room:
        return report
    async with ends.listening(task_id) as event:
        return await wait_for_end(ends, event, read, seconds=seconds)
