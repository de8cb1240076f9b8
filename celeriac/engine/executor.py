"""Running one claimed task through Celery's tracer, and making one outcome of all it did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from celery import states
from celery.app import trace as celery_trace
from celery.app.trace import build_tracer
from celery.exceptions import Reject
from celery.utils.saferepr import saferepr
from kombu.utils.encoding import safe_repr

from celeriac.core.moments import utc_now
from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import ClaimedTask, NewTask, TaskError, TaskId
from celeriac.engine import codec, context_stack, strand
from celeriac.engine.collector import Collector, collecting
from celeriac.engine.messages import request_of
from celeriac.engine.prints import end_lines

logger = logging.getLogger(__name__)

# An integer with more digits than this is shown cut off.
_LARGEST_SHOWN = 10**18


class Report(NamedTuple):
    """What Celery's events tell of one run, beside its outcome."""

    # Celery's word: SUCCESS, FAILURE, RETRY, REVOKED, IGNORED, REJECTED.
    state: str
    runtime_seconds: float = 0.0
    # A short text of the result, or of the exception.
    shown: str = ""
    traceback: str = ""

    def took(self, seconds: float) -> Report:
        """Return the same with a runtime, where the tracer could not tell it."""
        return self._replace(runtime_seconds=seconds)


class Executor:
    """Runs claimed tasks in this process; each call of `run` stands for itself."""

    def __init__(self, app: Any, *, hostname: str, now: Callable[[], datetime] = utc_now):
        self._app = app
        self._engine = app.celeriac
        # Asked for each task: Celery takes a lock to say what it is.
        self._tasks = app.tasks
        self._hostname = hostname
        self._now = now

    def prepare(self) -> None:
        """Build the tracer of every task, so that the first run of each is as fast as the next."""
        celery_trace.saferepr = shown_result
        for name, task in self._tasks.items():
            self._build(name, task)

    def _build(self, name: str, task: Any) -> Any:
        context_stack.use_for(task)
        if strand.is_async(task):
            strand.prepare(task)
        task.__trace__ = build_tracer(name, task, self._app.loader, self._hostname, app=self._app)
        return task.__trace__

    def run(self, claimed: ClaimedTask) -> tuple[Outcome, Report]:
        """Run a task to the end of one attempt; nothing that it does is raised from here.

        Raises:
            BaseException: What no task may keep to itself: SystemExit, KeyboardInterrupt and
                the like leave through here, and end the process.
        """
        task = self._tasks.get(claimed.name)
        if task is None:
            return self._unknown(claimed)
        try:
            args, kwargs = codec.load(claimed.arguments_codec, claimed.arguments_text)
            request = request_of(
                claimed,
                args,
                kwargs,
                hostname=self._hostname,
                is_zero_first=self._engine.is_zero_first_for(claimed.name),
            )
        except (ValueError, TypeError) as error:
            return self._rejected(claimed, f"the task cannot be read: {error}")
        trace = task.__trace__ or self._build(claimed.name, task)
        with collecting(claimed) as collector:
            try:
                result, info, runtime, shown = trace(claimed.id, args, kwargs, request)
            except Reject as reject:
                # Raised by a handler after the body; Celery lets it out.
                return self._end_rejected(collector, reject)
            except Exception as error:
                # The worker's boundary. The tracer lets out what the user's own handlers of a
                # failure raise; that must not cost a process.
                return self._end_failure(collector, error, 0.0)
            finally:
                end_lines(claimed.id)
        return self._end(collector, result, info, runtime or 0.0, shown or "")

    def _end(
        self, collector: Collector, result: Any, info: Any, runtime: float, shown: str
    ) -> tuple[Outcome, Report]:
        """Decide how the attempt ended, by what the tracer said and what was collected."""
        if info is None or info.state == states.SUCCESS:
            return self._end_success(collector, runtime, shown)
        if info.state == states.RETRY:
            return self._end_retry(collector, info, runtime)
        if info.state == states.IGNORED:
            return self._end_ignored(collector, runtime)
        if info.state == states.REJECTED:
            return self._end_rejected(collector, info.retval)
        if isinstance(info.retval, MemoryError):
            return self._end_without_memory(collector, info.retval, runtime)
        return self._end_failure(collector, info.retval, runtime)

    def _end_success(
        self, collector: Collector, runtime: float, shown: str
    ) -> tuple[Outcome, Report]:
        if collector.resend is not None:
            # retry(throw=False): the body went on and returned, but what it sent wins. What was to
            # follow follows the next attempt.
            collector.drop_continuations()
            outcome = self._outcome(collector, Ending.RETRIED, resend=collector.resend)
            return outcome, Report(state=states.RETRY, runtime_seconds=runtime)
        outcome = self._outcome(
            collector,
            Ending.COMPLETED,
            result=collector.result,
            result_codec=collector.result_codec,
        )
        return outcome, Report(
            state=states.SUCCESS, runtime_seconds=runtime, shown=codec.storable(shown)
        )

    def _end_retry(self, collector: Collector, info: Any, runtime: float) -> tuple[Outcome, Report]:
        report = Report(
            state=states.RETRY,
            runtime_seconds=runtime,
            shown=codec.storable(safe_repr(info.retval.exc)),
            traceback=collector.error.traceback if collector.error else "",
        )
        if collector.resend is None:
            # Raised by hand, without sending anything: the task's own way to say "again".
            return self._outcome(collector, Ending.RETURNED, error=collector.error), report
        outcome = self._outcome(
            collector, Ending.RETRIED, resend=collector.resend, error=collector.error
        )
        return outcome, report

    def _end_ignored(self, collector: Collector, runtime: float) -> tuple[Outcome, Report]:
        report = Report(state=states.IGNORED, runtime_seconds=runtime)
        if collector.resend is not None:
            # Replaced by one task, which runs under this id.
            return self._outcome(collector, Ending.RETRIED, resend=collector.resend), report
        waiting = collector.own_placeholder()
        if waiting is not None:
            return self._outcome(collector, Ending.REPLACED, resend=waiting), report
        return self._outcome(collector, Ending.COMPLETED, is_ignored=True), report

    def _end_rejected(self, collector: Collector, reject: Any) -> tuple[Outcome, Report]:
        reason = codec.storable(str(getattr(reject, "reason", None) or "rejected by the task"))
        report = Report(state=states.REJECTED, shown=reason)
        if getattr(reject, "requeue", False):
            return self._outcome(collector, Ending.RETURNED), report
        error = TaskError(
            kind=ErrorKind.REJECTED,
            type="Reject",
            module="celery.exceptions",
            message=reason,
            arguments=codec.dump_typed([reason]),
        )
        return self._outcome(collector, Ending.FAILED, error=error), report

    def _end_failure(
        self, collector: Collector, exc: Any, runtime: float
    ) -> tuple[Outcome, Report]:
        error = collector.error or self._app.backend.error_of(exc)
        outcome = self._outcome(collector, Ending.FAILED, error=error)
        report = Report(
            state=states.FAILURE,
            runtime_seconds=runtime,
            shown=codec.storable(safe_repr(exc)),
            traceback=error.traceback,
        )
        return outcome, report

    def _end_without_memory(
        self, collector: Collector, exc: MemoryError, runtime: float
    ) -> tuple[Outcome, Report]:
        # Where the kernel limits memory by killing, the process would be gone: one end for both.
        logger.error("a task ran out of memory", extra={"task_id": collector.claimed.id})
        collector.drop_continuations()
        report = Report(state=states.FAILURE, runtime_seconds=runtime, shown=safe_repr(exc))
        return self._outcome(collector, Ending.LOST), report

    def _outcome(self, collector: Collector, ending: Ending, **facts: Any) -> Outcome:
        own = collector.claimed.id
        return Outcome(
            task_id=own,
            lease_token=collector.claimed.lease_token,
            ending=ending,
            finished_at=self._now(),
            continuations=_others(collector.continuations, own) if collector.continuations else (),
            chords=tuple(collector.chords),
            **facts,
        )

    def _unknown(self, claimed: ClaimedTask) -> tuple[Outcome, Report]:
        # Claimed by mistake (the message named another task): back for a worker that knows it.
        outcome = Outcome(
            task_id=claimed.id,
            lease_token=claimed.lease_token,
            ending=Ending.UNBEGUN,
            finished_at=self._now(),
        )
        return outcome, Report(state=states.IGNORED)

    def _rejected(self, claimed: ClaimedTask, reason: str) -> tuple[Outcome, Report]:
        outcome = Outcome(
            task_id=claimed.id,
            lease_token=claimed.lease_token,
            ending=Ending.FAILED,
            finished_at=self._now(),
            error=TaskError(kind=ErrorKind.REJECTED, type="ValueError", message=reason),
            needs_errbacks=True,
        )
        return outcome, Report(state=states.FAILURE, shown=reason)


def _others(tasks: Iterable[NewTask], own: TaskId) -> tuple[NewTask, ...]:
    return tuple(task for task in tasks if task.id != own)


def shown_result(result: Any, *args: Any, **kwargs: Any) -> str:
    """Return a result in short, as Celery's tracer shows it to those who watch.

    Celery's own takes as long as the rest of the tracer, and says of these the same.
    """
    kind = type(result)
    if kind is int and -_LARGEST_SHOWN < result < _LARGEST_SHOWN:
        return repr(result)
    if result is None or kind is bool or kind is float:
        return repr(result)
    return str(saferepr(result, *args, **kwargs))
