from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from celeriac import task
from celeriac.engine.executor import Executor
from celeriac.engine.strand import is_async
from tests.engines import open_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path) as app:
        yield app


@pytest.fixture
def double(app: Celery) -> Any:
    # A name of its own each time: every app of the process learns of it, those of other tests too.
    name = f"double-{uuid4().hex}"

    @task(name=name)
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    return app.tasks[name]


def test_an_async_task_that_is_applied_returns_its_result(double: Any) -> None:
    assert double.apply((21,)).get() == 42


def test_an_async_task_may_be_applied_in_an_async_program(double: Any) -> None:
    async def program() -> Any:
        return double.apply((21,)).get()

    assert asyncio.run(program()) == 42


def test_a_worker_leaves_an_async_task_that_is_called_what_it_is(app: Celery) -> None:
    @app.task(name="plain", bind=True)
    async def plain(self: Any, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    Executor(app, hostname="celery@host").prepare()

    # As a plain task in the same worker would call it.
    assert asyncio.run(plain(21)) == 42
    assert plain.apply((21,)).get() == 42


def test_async_functions_are_known_whatever_is_around_them(app: Celery) -> None:
    @app.task(name="plain")
    def plain() -> None: ...

    @app.task(name="retried", autoretry_for=(ValueError,))
    async def retried() -> None: ...

    @task(name="typed")
    async def typed(number: int) -> int:
        return number

    assert not is_async(plain)
    assert is_async(retried)
    assert is_async(app.tasks["typed"])
