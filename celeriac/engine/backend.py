"""The result backend: Celery's plug for results, over the ledger.

The ledger is the truth. While a task runs, what the tracer stores is collected for the task's
completion; everywhere else writing is nobody's business but the pool's. How results are read
stands in `reading`.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from celery import states
from kombu.exceptions import EncodeError

from celeriac.core.task import Codec, TaskError, TaskId
from celeriac.engine import codec
from celeriac.engine.chords import make_chord_known
from celeriac.engine.collector import current_collector
from celeriac.engine.failures import kept_error
from celeriac.engine.reading import ReadingBackend

logger = logging.getLogger(__name__)


class LedgerBackend(ReadingBackend):
    """Collects what becomes of the task that runs here, and reads what became of any other."""

    # Asked by the tracer: results stay as long as the task is kept.
    persistent = True
    supports_autoexpire = True
    # `GroupResult.get` reads its parts together.
    supports_native_join = True

    @cached_property
    def _tasks(self) -> Any:
        # Asked for each result: Celery takes a lock to say what it is.
        return self.app.tasks

    # ---- what the tracer tells while a task runs

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.SUCCESS,
    ) -> None:
        """Collect the result of the task that runs here."""
        collector = current_collector()
        if collector is None or collector.claimed.id != task_id:
            self._refuse("mark_as_done", task_id)
            return
        if store_result:
            collector.result_codec, collector.result = self.encode_result_text(result, request)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        call_errbacks: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.FAILURE,
    ) -> None:
        """Collect the failure of the task that runs here, and run its errbacks."""
        collector = current_collector()
        if collector is None:
            self._refuse("mark_as_failure", task_id)
            return
        if collector.claimed.id == task_id and not collector.fail(self.error_of(exc, traceback)):
            return
        if request is not None and call_errbacks and request.errbacks:
            self._call_task_errbacks(request, exc, traceback)

    def mark_as_retry(
        self,
        task_id: str,
        exc: BaseException,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.RETRY,
    ) -> None:
        """Collect why the task that runs here wants another attempt."""
        collector = current_collector()
        if collector is not None and collector.claimed.id == task_id:
            collector.error = self.error_of(exc, traceback) if exc else None

    def mark_as_revoked(
        self,
        task_id: str,
        reason: str = "",
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        state: str = states.REVOKED,
    ) -> None:
        """Ask the ledger to cancel a task that a worker was told to revoke."""
        self._engine.cancel_soon(TaskId(task_id))

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Keep a state of the user's own making; what ends a task is not stored this way.

        Told by the task that runs here it is its progress. Told by anybody else, as to abort an
        abortable task, it is what the task is shown as until it says something itself or ends.
        """
        if state == states.STARTED:
            return result
        if state in states.ALL_STATES:
            self._refuse("store_result", task_id)
            return result
        shown = self.prepare_exception(result) if isinstance(result, BaseException) else result
        progress = codec.dump_typed({"state": state, "meta": shown})
        collector = current_collector()
        if collector is not None and collector.claimed.id == task_id:
            claimed = collector.claimed
            self._engine.road.report(claimed.id, claimed.lease_token, progress)
        else:
            self._engine.road.mark(TaskId(task_id), progress)
        return result

    def _refuse(self, what: str, task_id: str) -> None:
        # Celery's worker calls the backend on its own for messages it cannot run (an unknown
        # task, a Request it gave up). The row keeps its state, which only a claim may change.
        self._engine.counters.add("backend_writes_refused")
        logger.debug("a result was not stored", extra={"task_id": task_id, "call": what})

    def encode_result_text(self, result: Any, request: Any) -> tuple[Codec, str]:
        """Return a task's result as text.

        Raises:
            EncodeError: No JSON carries it; the tracer makes a failure of that.
        """
        task = self._tasks.get(request.task) if request is not None else None
        dump_result = getattr(task, "dump_result", None)
        value = dump_result(result) if dump_result is not None else self.prepare_value(result)
        try:
            return codec.dump(value)
        except (TypeError, ValueError) as error:
            raise EncodeError(f"the result cannot be kept as JSON: {error}") from error

    def error_of(self, exc: BaseException, traceback: Any = None) -> TaskError:
        """Return an exception as the ledger keeps it."""
        shown = self.prepare_exception(exc, serializer="json")
        return kept_error(exc, shown, traceback)

    def call_errbacks(self, request: Any, exc: BaseException, traceback: Any = None) -> None:
        """Call the errbacks of a request as if its task had just failed here."""
        self._call_task_errbacks(request, exc, traceback)

    def _call_task_errbacks(self, request: Any, exc: Any, traceback: Any) -> None:
        # What an errback sends belongs to the end of the task that failed, as links do.
        collector = current_collector()
        if collector is None:
            super()._call_task_errbacks(request, exc, traceback)
            return
        before, collector.is_ending = collector.is_ending, True
        try:
            super()._call_task_errbacks(request, exc, traceback)
        finally:
            collector.is_ending = before

    def _fail_chain(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the ledger fails whatever waits for a task that failed."""

    # ---- chords: counted by the ledger

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Make a chord known before the first task of its header is sent."""
        make_chord_known(self.app, self.app.GroupResult(*header_result_args), body)

    def on_chord_part_return(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the ledger counts a part when it writes the part's end."""

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Refuse: a chord's size is fixed when it is sent."""
        raise NotImplementedError("a chord cannot grow after it was sent")
