"""Whether a task's function is what the main thread does: only there may a signal raise.

Raised anywhere else, a limit would hit whoever writes down how the task ended, and take its end
along.
"""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable
from types import CodeType, FrameType

from celery.app import trace

_TRACER_FILE = trace.build_tracer.__code__.co_filename
_AGAIN_SECONDS = 0.01


def is_in_body(frame: FrameType | None, *, beside: CodeType | None = None) -> bool:
    """Whether Celery's tracer has begun a task's function and does not know its end.

    Args:
        frame: Where the thread is, as a signal's handler is told.
        beside: A function that must not be left in its middle.
    """
    is_there = False
    while frame is not None:
        if frame.f_code is beside:
            return False
        # The outermost one counts: a task may apply another one, which ends within it. Its `state`
        # is None until the function has returned or raised (celery 5.7, app/trace.py).
        if frame.f_code.co_name == "trace_task" and frame.f_code.co_filename == _TRACER_FILE:
            is_there = frame.f_locals.get("state", frame) is None
        frame = frame.f_back
    return is_there


def is_called_by(code: CodeType, frame: FrameType | None) -> bool:
    """Whether a thread is in something that a function has called, at any depth.

    Args:
        code: The function's; what it does itself does not count.
        frame: Where the thread is, as a signal's handler is told.
    """
    while frame is not None:
        frame = frame.f_back
        if frame is not None and frame.f_code is code:
            return True
    return False


def call_again(call: Callable[[], object]) -> None:
    """Have something called from another thread in a moment; callable in a signal's handler."""

    def wait() -> None:
        time.sleep(_AGAIN_SECONDS)
        call()

    # Not a `Thread`: starting one takes locks that the interrupted code may hold.
    _thread.start_new_thread(wait, ())
