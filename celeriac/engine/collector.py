"""What one running task does that becomes true only together with its end.

While Celery's tracer runs a task, the result backend and the AMQP seam put what they are told
here; the executor makes one outcome of it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, field

from celeriac.core.outcome import NewChord
from celeriac.core.task import ClaimedTask, Codec, NewTask, TaskError


@dataclass(slots=True)
class Collector:
    """The end of one running task as it builds up."""

    claimed: ClaimedTask
    result: str | None = None
    result_codec: Codec = Codec.JSON
    # Why it failed, or wants another attempt.
    error: TaskError | None = None
    has_failed: bool = False
    # The task sent again under its own id: a retry, or a replacement by one task.
    resend: NewTask | None = None
    continuations: list[NewTask] = field(default_factory=list)
    chords: list[NewChord] = field(default_factory=list)
    # Set while what is sent belongs to the end of this task (its errbacks), not to its body.
    is_ending: bool = False

    def add(self, task: NewTask, placeholders: tuple[NewTask, ...]) -> None:
        """Take a task that is sent as part of this one's end."""
        if task.id == self.claimed.id:
            self.resend = task
        else:
            self.continuations.append(task)
        self.continuations.extend(placeholders)

    def fail(self, error: TaskError) -> bool:
        """Take why the task failed, and let go of what would have followed its success.

        Returns:
            Whether this is news: Celery's tracer tells of a failure again when a handler of it
            fails, too.
        """
        if self.has_failed:
            return False
        self.has_failed = True
        self.error = error
        if not self.is_ending:
            self.drop_continuations()
        return True

    def drop_continuations(self) -> None:
        """Let go of what was to follow: the task has not come to that end."""
        self.continuations.clear()
        self.chords.clear()

    def own_placeholder(self) -> NewTask | None:
        """Return the row that says this task waits for the canvas that replaced it, if any."""
        for task in self.continuations:
            if task.id == self.claimed.id and task.is_waiting:
                return task
        return None


_current: ContextVar[Collector | None] = ContextVar("celeriac_collector", default=None)


def current_collector() -> Collector | None:
    """Return what collects for the task that runs here and now, None outside of one."""
    return _current.get()


class collecting:  # noqa: N801 - used like a function
    """Collect for one claimed task while its body runs."""

    __slots__ = ("_collector", "_token")

    def __init__(self, claimed: ClaimedTask) -> None:
        self._collector = Collector(claimed)
        self._token: Token[Collector | None]

    def __enter__(self) -> Collector:
        self._token = _current.set(self._collector)
        return self._collector

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
