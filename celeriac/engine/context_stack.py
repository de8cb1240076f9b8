"""Which task runs here, and its request, for code that interleaves.

Celery keeps both on stacks of one thread. Many async tasks share a thread, and after an `await`
each of them must find its own.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any

from celery import _state
from celery.local import Proxy

from celeriac.errors import SettingsError


class ContextStack:
    """Celery's `LocalStack` (celery 5.7, utils/threads.py), one for each context.

    A new thread and a new task begin with an empty one. What a context hands on (to a coroutine it
    starts, to `asyncio.to_thread`) sees what was on top, and changes nobody's but its own.
    """

    def __init__(self) -> None:
        # Never changed in place: copied contexts share it.
        self._items: ContextVar[tuple[Any, ...]] = ContextVar("celeriac_stack", default=())

    def __call__(self) -> Any:
        """Return a proxy for whatever is on top when it is used."""
        return Proxy(self._top_or_raise)

    def __len__(self) -> int:
        return len(self._items.get())

    @property
    def stack(self) -> tuple[Any, ...]:
        """Everything on it, the top last."""
        return self._items.get()

    @property
    def top(self) -> Any:
        """What is on top, None when it is empty."""
        items = self._items.get()
        return items[-1] if items else None

    def push(self, item: Any) -> tuple[Any, ...]:
        """Put something on top."""
        items = (*self._items.get(), item)
        self._items.set(items)
        return items

    def pop(self) -> Any:
        """Take off and return what is on top, None when it is empty."""
        items = self._items.get()
        if not items:
            return None
        self._items.set(items[:-1])
        return items[-1]

    def _top_or_raise(self) -> Any:
        top = self.top
        if top is None:
            raise RuntimeError("object unbound")
        return top


def install() -> None:
    """Have `current_task` look at contexts.

    Raises:
        SettingsError: Celery is told to keep it in a way that only knows threads.
    """
    stack = _state._task_stack  # noqa: SLF001 - Celery has no other seam
    if isinstance(stack, ContextStack):
        return
    if os.environ.get("USE_FAST_LOCALS"):
        raise SettingsError("USE_FAST_LOCALS", os.environ["USE_FAST_LOCALS"], "nothing: unset it")
    # The same object as before, and not one in its place: many modules imported it by name.
    stack.__class__ = ContextStack
    ContextStack.__init__(stack)
    _state.push_current_task, _state.pop_current_task = stack.push, stack.pop


def use_for(task: Any) -> None:
    """Have `task.request` look at contexts; called before the task's tracer is built."""
    if not isinstance(task.request_stack, ContextStack):
        task.request_stack = ContextStack()
