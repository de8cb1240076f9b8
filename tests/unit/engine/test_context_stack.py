from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from celery import _state
from celery.app import task as task_module

from celeriac.engine import context_stack
from celeriac.engine.context_stack import ContextStack
from celeriac.errors import SettingsError


def test_the_last_that_was_pushed_is_on_top_and_leaves_first() -> None:
    stack = ContextStack()

    stack.push("a")
    stack.push("b")

    assert (len(stack), stack.top, stack.stack) == (2, "b", ("a", "b"))
    assert [stack.pop(), stack.pop(), stack.pop()] == ["b", "a", None]
    assert stack.top is None


def test_coroutines_that_take_turns_see_their_own() -> None:
    stack = ContextStack()

    async def visit(name: str) -> list[str]:
        stack.push(name)
        seen = []
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(stack.top)
        stack.pop()
        return [*seen, stack.top]

    async def visit_all() -> list[list[str]]:
        return list(await asyncio.gather(*(visit(f"task-{each}") for each in range(10))))

    assert asyncio.run(visit_all()) == [[f"task-{each}"] * 3 + [None] for each in range(10)]


def test_what_a_coroutine_starts_sees_its_top_and_changes_nothing_of_it() -> None:
    stack = ContextStack()

    async def inner() -> str:
        seen = str(stack.top)
        stack.push("inner")
        return seen

    async def outer() -> tuple[str, str, str]:
        stack.push("outer")
        in_task = await asyncio.create_task(inner())
        in_thread = await asyncio.to_thread(lambda: str(stack.top))
        return in_task, in_thread, str(stack.top)

    assert asyncio.run(outer()) == ("outer", "outer", "outer")


def test_a_new_thread_begins_with_nothing() -> None:
    stack = ContextStack()
    stack.push("here")
    seen: list[object] = []

    thread = threading.Thread(target=lambda: seen.append(stack.top))
    thread.start()
    thread.join()

    assert seen == [None]
    assert stack.pop() == "here"


def test_a_proxy_is_what_is_on_top_when_it_is_used() -> None:
    stack = ContextStack()
    proxy = stack()

    stack.push("top")

    assert proxy == "top"
    stack.pop()
    with pytest.raises(RuntimeError, match="unbound"):
        proxy.upper()


def test_celery_looks_at_the_same_stack_everywhere() -> None:
    context_stack.install()

    assert isinstance(_state._task_stack, ContextStack)
    assert task_module._task_stack is _state._task_stack
    _state.push_current_task("a task")
    assert _state.get_current_task() == "a task"
    _state.pop_current_task()
    assert _state.get_current_task() is None


def test_celerys_fast_locals_are_refused_by_name() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from celeriac import create_celery; create_celery()"],
        env={**os.environ, "USE_FAST_LOCALS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode != 0
    assert SettingsError.__name__ in told.stderr
    assert "USE_FAST_LOCALS" in told.stderr
