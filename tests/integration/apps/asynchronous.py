"""Tasks of the conformance app whose functions are coroutines."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace
from typing import Any

from celery import Celery, Task, current_task
from celery.exceptions import SoftTimeLimitExceeded

from celeriac import progress
from tests.effects import Effects, Gates
from tests.integration.apps.troubles import TroubleError


def register(app: Celery, effects: Effects, gates: Gates) -> SimpleNamespace:
    """Give an app the tasks of this module and return them by name."""

    def leave(key: str, text: str = "") -> int:
        effects.add(key, pid=os.getpid(), text=text)
        return len(effects.of(key))

    async def wait_at(gate: str) -> None:
        deadline = time.monotonic() + 30
        while not gates.is_open(gate):
            if time.monotonic() > deadline:
                raise TimeoutError(gate)
            await asyncio.sleep(0.02)

    @app.task(bind=True)
    async def who_am_i(self: Task, gate: str) -> list[str]:
        """Tell who it is before and after a wait, in its own function and in what that starts."""
        before = self.request.id
        leave(f"{gate}:start")
        await wait_at(gate)
        in_thread = await asyncio.to_thread(lambda: self.request.id)
        return [before, self.request.id, current_task.request.id, in_thread]

    @app.task
    async def wait_for(gate: str, key: str = "") -> str:
        """Wait at a gate, then leave a line."""
        leave(f"{key or gate}:start")
        await wait_at(gate)
        leave(key or gate)
        return gate

    @app.task
    async def nap(seconds: float) -> float:
        """Sleep."""
        await asyncio.sleep(seconds)
        return seconds

    @app.task
    async def boom() -> None:
        """Fail after a wait."""
        await asyncio.sleep(0.01)
        raise TroubleError("after a wait")

    @app.task(bind=True)
    async def retry_until(self: Task, key: str, tries: int) -> str:
        """Ask to be run again until the given number of tries is reached."""
        await asyncio.sleep(0.01)
        if leave(key) < tries:
            raise self.retry(countdown=0, max_retries=5)
        return f"done after {self.request.retries} retries"

    @app.task(autoretry_for=(TroubleError,), retry_kwargs={"max_retries": 3, "countdown": 0})
    async def flaky(key: str, failures: int) -> str:
        """Fail some times, and be retried without asking."""
        await asyncio.sleep(0.01)
        if leave(key) <= failures:
            raise TroubleError(key)
        return "well"

    @app.task
    async def tell_progress(gate: str) -> str:
        """Tell of half the work, then wait at a gate."""
        await asyncio.sleep(0.01)
        progress(50, 100)
        await wait_at(gate)
        return "all"

    @app.task(bind=True)
    async def submit_other(self: Task, key: str) -> str:
        """Submit another task from between two waits and return its id."""
        await asyncio.sleep(0.01)
        other = app.tasks[f"{__name__}.mark"].delay(key)
        await asyncio.sleep(0.01)
        return str(other.id)

    @app.task
    def mark(key: str) -> str:
        """Leave a line, in a plain function."""
        leave(key)
        return key

    @app.task(soft_time_limit=0.5)
    async def clean_up_when_late(key: str) -> str:
        """Run past the soft limit and clean up, waiting once more."""
        try:
            await asyncio.sleep(30)
        except SoftTimeLimitExceeded:
            await asyncio.sleep(0.01)
            leave(key)
            return "cleaned up"
        return "never late"

    @app.task(time_limit=0.5)
    async def run_too_long(key: str) -> None:
        """Run past the hard limit."""
        await asyncio.sleep(30)
        leave(key)

    @app.task(time_limit=0.5)
    async def hang(key: str) -> None:
        """Run past the hard limit, whatever is raised meanwhile."""
        leave(f"{key}:start")
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                await asyncio.sleep(0.05)
            except BaseException:
                continue
        leave(key)

    @app.task
    async def linger(key: str, seconds: float) -> str:
        """Leave a line, sleep, leave another; and one more when it is cancelled."""
        leave(f"{key}:start")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            leave(f"{key}:cancelled")
            raise
        leave(key)
        return key

    @app.task
    async def die(key: str) -> None:
        """End the process that runs this."""
        leave(key)
        await asyncio.sleep(0.05)
        os._exit(7)

    @app.task
    async def leave_python(key: str) -> None:
        """Ask Python to end."""
        leave(key)
        await asyncio.sleep(0.01)
        raise SystemExit(3)

    tasks: dict[str, Any] = {
        name: task for name, task in locals().items() if isinstance(task, Task)
    }
    return SimpleNamespace(**tasks)
