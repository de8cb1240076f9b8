from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery._state import _task_stack

from celeriac import progress
from tests.engines import plain_app


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Run the test inside a task, as a worker would, and keep what it tells of itself."""
    states: list[Any] = []
    with plain_app(backend="cache+memory://") as app:

        @app.task(shared=False, name="unit.telling")
        def telling() -> None: ...

        def store_result(task_id: str, meta: Any, state: str, **_: Any) -> None:
            states.append((task_id, state, meta))

        monkeypatch.setattr(app.backend, "store_result", store_result)
        telling.push_request(id="a", called_directly=False)
        _task_stack.push(telling)
        yield states
        _task_stack.pop()
        telling.pop_request()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("celeriac.engine.progress.time.monotonic", lambda: now[0])
    return now


def test_progress_is_the_tasks_state(told: list[Any]) -> None:
    progress(1, 3, "decoding")

    assert told == [("a", "PROGRESS", {"done": 1, "total": 3, "message": "decoding"})]


def test_progress_outside_a_worker_does_nothing() -> None:
    progress(1, 3, "decoding")


def test_progress_goes_out_twenty_times_a_second(told: list[Any], clock: list[float]) -> None:
    for turn in range(1000):
        clock[0] = 100 + turn / 1000
        progress(turn)

    assert len(told) == 20


def test_the_last_progress_always_goes_out(told: list[Any], clock: list[float]) -> None:
    for turn in range(1, 11):
        progress(turn, 10)

    assert [meta["done"] for _, _, meta in told] == [1, 10]
