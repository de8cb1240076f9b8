from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import current_task
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.engine.executor import Executor, Report
from celeriac.engine.pool.async_slots import AsyncSlots
from celeriac.engine.pool.job import Job
from tests.engines import make_claimed, open_app
from tests.servers.processes import wait_until


class Rig:
    """Async slots, and what they told."""

    def __init__(self, executor: Executor) -> None:
        self.begun: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.threads: set[str] = set()
        self.slots = AsyncSlots(executor, on_begun=self._on_begun, on_ended=self._on_ended)

    def begin(
        self,
        name: str,
        *args: Any,
        task_id: str = "task-1",
        soft: float | None = None,
        hard: float | None = None,
    ) -> None:
        claimed = make_claimed(name, *args, task_id=task_id)
        self.slots.begin(Job(claimed, None, soft_seconds=soft, hard_seconds=hard))

    def outcome(self, task_id: str = "task-1") -> Outcome:
        wait_until(lambda: task_id in self.outcomes, f"{task_id} has ended", pause=0.005)
        return self.outcomes[task_id]

    def _on_begun(self, jobs: Sequence[Job]) -> None:
        self.begun += [job.id for job in jobs]

    def _on_ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        self.threads.add(threading.current_thread().name)
        self.outcomes[job.id] = outcome


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with open_app(tmp_path_factory.mktemp("app")) as app:

        @app.task(name="who", bind=True)
        async def who(self: Any, seconds: float) -> list[str]:
            before = self.request.id
            await asyncio.sleep(seconds)
            return [before, self.request.id, current_task.request.id]

        @app.task(name="forever")
        async def forever() -> None:
            await asyncio.Event().wait()

        @app.task(name="clean")
        async def clean() -> str:
            try:
                await asyncio.sleep(60)
            except SoftTimeLimitExceeded:
                # The task's own limits work after that: nothing is left of the cancellation.
                async with asyncio.timeout(30):
                    await asyncio.sleep(0)
                return "clean"
            return "never late"

        @app.task(name="swallow")
        async def swallow() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "as if nothing had been"
            return "never late"

        @app.task(name="leave")
        async def leave() -> None:
            await asyncio.sleep(0)
            raise SystemExit(3)

        @app.task(name="await cancelled")
        async def await_cancelled() -> None:
            waiting = asyncio.ensure_future(asyncio.sleep(60))
            waiting.cancel()
            await waiting

        @app.task(name="call")
        async def call() -> Any:
            # A task called plainly is its function, which here gives a coroutine.
            return await who(0)

        executor = Executor(app, hostname="celery@host")
        executor.prepare()
        yield executor


@pytest.fixture
def rig(executor: Executor) -> Iterator[Rig]:
    rig = Rig(executor)
    yield rig
    rig.slots.close()


def test_a_hundred_tasks_take_turns_in_one_thread_and_know_who_they_are(rig: Rig) -> None:
    ids = [f"task-{each}" for each in range(100)]

    for each in ids:
        rig.begin("who", 0.05, task_id=each)

    for each in ids:
        assert rig.outcome(each).result == f'["{each}","{each}","{each}"]'
    assert rig.begun == ids
    assert rig.threads == {"celeriac-async"}


def test_a_soft_limit_is_raised_where_the_task_waits(rig: Rig) -> None:
    rig.begin("clean", soft=0.05)

    assert rig.outcome().result == '"clean"'


def test_a_hard_limit_ends_the_task_whatever_it_returns(rig: Rig) -> None:
    rig.begin("swallow", hard=0.05)

    error = rig.outcome().error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


def test_a_stopped_task_is_cancelled_and_its_neighbour_is_not(rig: Rig) -> None:
    rig.begin("forever", task_id="stopped")
    rig.begin("who", 0.1, task_id="spared")

    rig.slots.stop("stopped")

    assert rig.outcome("stopped").ending is Ending.CANCELLED
    assert rig.outcome("spared").ending is Ending.COMPLETED


def test_a_task_that_asks_python_to_end_is_lost_alone(rig: Rig) -> None:
    rig.begin("leave", task_id="leaving")
    rig.begin("who", 0.05, task_id="spared")

    assert rig.outcome("leaving").ending is Ending.LOST
    assert rig.outcome("spared").ending is Ending.COMPLETED


def test_a_limit_that_is_over_before_the_first_step_counts(rig: Rig) -> None:
    rig.begin("forever", soft=0.0)

    error = rig.outcome().error
    assert error is not None
    assert error.kind is ErrorKind.TIMEOUT


def test_a_task_that_lets_a_cancellation_of_its_own_pass_fails(rig: Rig) -> None:
    rig.begin("await cancelled")

    outcome = rig.outcome()
    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "CancelledError"


def test_a_task_may_await_another_one_that_it_calls_plainly(rig: Rig) -> None:
    rig.begin("call")

    assert rig.outcome().ending is Ending.COMPLETED


def test_what_is_cut_off_is_charged_to_nobody(rig: Rig) -> None:
    rig.begin("forever")
    wait_until(lambda: rig.begun, "it has begun")

    rig.slots.cut_off()

    outcome = rig.outcome()
    assert outcome.ending is Ending.LOST
    assert not outcome.is_suspect


def test_what_has_not_begun_is_given_back_while_a_task_blocks_the_loop(rig: Rig) -> None:
    gate = threading.Event()
    is_free = threading.Event()
    rig.slots.call_when_free(lambda: [gate.wait(20)].clear())

    rig.begin("who", 0, task_id="waiting")
    given_back = [job.id for job in rig.slots.give_back()]
    rig.slots.call_when_free(is_free.set)
    gate.set()

    assert given_back == ["waiting"]
    assert is_free.wait(20)
    assert rig.begun == []


def test_a_process_without_async_tasks_has_no_thread_for_them(
    executor: Executor, tmp_path: Path
) -> None:
    rig = Rig(executor)

    rig.slots.close()

    assert rig.slots._thread is None
