"""Running `async def` tasks inside Celery's tracer, which knows nothing of event loops.

The tracer calls a task function and goes on with what it returns. For an async one it runs in a
greenlet, here called a strand: where the function gives a coroutine, the strand lets its event loop
do other things until the coroutine has ended, and then goes on with what came of it. So all that
surrounds a task stays the tracer's: signals, handlers, retries, links, results.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet


class StrandStoppedError(BaseException):
    """Ends the attempt in a strand that was stopped, through whatever it catches."""


class Strand(greenlet):
    """One attempt at an async task, on an event loop with others.

    Made and used in the event loop's thread. Its context is its own, and begins empty.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Callable[[], None]) -> None:
        super().__init__(run)
        self._loop = loop
        # Where the loop itself runs.
        self._others = getcurrent()
        # What the attempt waits for, while it waits.
        self._body: asyncio.Task[tuple[Any, BaseException | None]] | None = None
        self._thrown: BaseException | None = None
        self._is_stopped = False

    def throw_in(self, error: BaseException) -> None:
        """Raise in the task function where it waits; it may catch that."""
        if self._body is not None:
            self._thrown = error
            self._body.cancel()

    def stop(self) -> None:
        """Cancel the task function as asyncio does, and end the attempt whatever it returns."""
        self._is_stopped = True
        if self._body is not None:
            self._body.cancel()

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns, while the loop goes on; called in the strand itself.

        Raises:
            BaseException: What the coroutine raised.
            StrandStoppedError: It has ended, and the attempt was stopped meanwhile.
        """
        body = self._loop.create_task(self._settled(coroutine), context=copy_context())
        body.add_done_callback(self._go_on)
        self._body = body
        self._others.switch()
        self._body = None
        if body.cancelled():
            # Before its first step.
            coroutine.close()
        if self._is_stopped:
            raise StrandStoppedError
        value, error = (None, self._thrown) if body.cancelled() else body.result()
        self._thrown = None
        if error is None:
            return value
        if isinstance(error, asyncio.CancelledError):
            # Something that it waited for was cancelled, and it let that pass: it has failed.
            raise CancelledError(*error.args) from error
        try:
            raise error.with_traceback(_without_ours(error.__traceback__))
        finally:
            # The traceback holds this frame: without this they would hold each other.
            del error, body

    def _go_on(self, _: Any) -> None:
        self.switch()

    async def _settled(
        self, coroutine: Coroutine[Any, Any, Any]
    ) -> tuple[Any, BaseException | None]:
        try:
            return await self._steps(coroutine), None
        except BaseException as error:
            # Everything: SystemExit would leave the event loop, and all its tasks with it.
            return None, error

    @types.coroutine
    def _steps(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run a coroutine; a cancellation that stands for another exception becomes that one."""
        step: Callable[[], Any] = partial(coroutine.send, None)
        while True:
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            try:
                sent = yield awaited
            except asyncio.CancelledError as cancelled:
                step = partial(coroutine.throw, self._instead_of(cancelled))
            except BaseException as error:
                step = partial(coroutine.throw, error)
            else:
                step = partial(coroutine.send, sent)

    def _instead_of(self, cancelled: asyncio.CancelledError) -> BaseException:
        thrown, self._thrown = self._thrown, None
        task = asyncio.current_task()
        if thrown is None or task is None:
            return cancelled
        # It was no cancellation: `asyncio.timeout` and the like count them.
        task.uncancel()
        return thrown


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns, for a tracer that runs an async task."""
    strand = getcurrent()
    if isinstance(strand, Strand):
        return strand.finish(coroutine)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # `apply()` in an async program: it wants the result here and now, and its loop is taken.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, coroutine).result()


def is_async(task: Any) -> bool:
    """Whether a Celery task's function is an `async def`, wrapped or not."""
    functions = (getattr(task, name, None) for name in ("_function", "_orig_run", "run"))
    return any(_is_coroutine_function(function) for function in functions)


def prepare(task: Any) -> None:
    """Have a Celery task's function finished where a tracer calls it.

    Called plainly, the task stays what it is: a function that gives a coroutine.
    """
    # Autoretry has put its own `run` before it, which calls this one.
    name = "_orig_run" if hasattr(task, "_orig_run") else "run"
    function = getattr(task, name)
    if _is_coroutine_function(function) and not hasattr(function, "is_finishing"):
        setattr(task, name, _finishing(function, task))


def _finishing(function: Callable[..., Any], task: Any) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result) and not task.request.called_directly:
            return finish(result)
        return result

    run.is_finishing = True  # type: ignore[attr-defined] # functions take any attribute
    return run


def _is_coroutine_function(function: Any) -> bool:
    function = getattr(function, "__func__", function)
    return callable(function) and inspect.iscoroutinefunction(inspect.unwrap(function))


def _without_ours(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """Return a traceback from the task's own function on."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback
