"""The result backend: Celery's plug for results, over the ledger.

The ledger is the truth. While a task runs, what the tracer stores is collected for the task's
completion; everywhere else reading asks the ledger, and writing is nobody's business but the
pool's.
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult
from kombu.exceptions import EncodeError

from celeriac import errors
from celeriac.core.file_reference import find_file_ids
from celeriac.core.outcome import NewChord
from celeriac.core.state import ErrorKind
from celeriac.core.task import Codec, Task, TaskError, TaskId
from celeriac.engine import codec
from celeriac.engine.amqp import belongs_to_end
from celeriac.engine.collector import current_collector
from celeriac.engine.failures import exception_facts
from celeriac.engine.lots import current_lot
from celeriac.engine.messages import placeholders
from celeriac.engine.metas import meta_of_task
from celeriac.engine.typed_task import Fail
from celeriac.errors import InvalidArgumentsError, TaskNotFoundError
from celeriac.files.file import KeptFiles, open_files
from celeriac.files.keeping import keeping

logger = logging.getLogger(__name__)


class LedgerBackend(BaseBackend):
    """Results out of the ledger."""

    # Asked by the tracer: results stay as long as the task is kept.
    persistent = True
    supports_autoexpire = True
    # `GroupResult.get` reads its parts together.
    supports_native_join = True

    @property
    def _engine(self) -> Any:
        return self.app.celeriac

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
        is_expected = isinstance(exc, Fail | InvalidArgumentsError)
        kind = ErrorKind.EXCEPTION
        if isinstance(exc, SoftTimeLimitExceeded | TimeLimitExceeded):
            kind = ErrorKind.TIMEOUT
        elif isinstance(exc, InvalidArgumentsError):
            kind = ErrorKind.REJECTED
        return TaskError(
            kind=kind,
            type=codec.storable(shown["exc_type"]),
            module=codec.storable(shown["exc_module"] or ""),
            message=codec.storable(_sentence(exc)),
            arguments=json.dumps(shown["exc_message"], default=repr),
            # An expected failure is told in one line.
            traceback=codec.storable(str(traceback)) if traceback and not is_expected else "",
        )

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
        header = self.app.GroupResult(*header_result_args)
        queue = self._chord_queue(body)
        with keeping(self._engine.files):
            written = codec.dump_typed({"body": dict(body), "header": header.as_tuple()})
        chord = NewChord(
            id=header.id,
            size=sum(1 for _ in leaves(header.as_tuple())),
            body=written,
            queue=queue,
        )
        waiting = placeholders(body, upstream_id=header.id, queue=queue)
        collector = current_collector()
        # A chord that a task sends in its body, for itself, stands at once; one that takes the
        # task's place, or follows it, stands when the task ends.
        if collector is not None and belongs_to_end(collector, waiting):
            collector.chords.append(chord)
            collector.continuations.extend(waiting)
        elif (lot := current_lot()) is not None:
            lot.add_chord(chord, waiting)
        else:
            self._engine.road.submit(waiting, (chord,))

    def _chord_queue(self, body: Any) -> str:
        queue = (body.get("options") or {}).get("queue")
        if isinstance(queue, str):
            return queue
        return str(self.app.amqp.default_queue.name)

    def on_chord_part_return(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the ledger counts a part when it writes the part's end."""

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Refuse: a chord's size is fixed when it is sent."""
        raise NotImplementedError("a chord cannot grow after it was sent")

    # ---- reading

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Return what Celery calls a task's meta, out of the ledger.

        Raises:
            TaskNotFoundError: No task has this id.
        """
        if cache:
            kept = self._cache.get(task_id)
            if kept:
                return kept
        task = self._engine.road.find([TaskId(task_id)]).get(TaskId(task_id))
        meta = self._meta_of(TaskId(task_id), task)
        if cache and meta["status"] in states.READY_STATES:
            self._cache[task_id] = meta
        return meta

    def children_of(self, task_id: TaskId) -> Sequence[TaskId]:
        """Return the ids of what a task has sent and what follows it."""
        children: Sequence[TaskId] = self._engine.road.children_of(task_id)
        return children

    def _meta_of(self, task_id: TaskId, task: Task | None) -> dict[str, Any]:
        if task is not None:
            meta = meta_of_task(task, self.exception_of)
            if find_file_ids(task.result):
                meta["result"] = open_files(meta["result"], KeptFiles(self._engine.files))
            return meta
        if self._engine.adopts:
            # It may lie in the broker still, from a producer who knows nothing of the ledger.
            return {"task_id": task_id, "status": states.PENDING, "result": None}
        raise TaskNotFoundError(task_id)

    def exception_of(self, task: Task) -> BaseException:
        """Return why a task ended without a result, as the exception a caller gets."""
        return self._rebuild(*exception_facts(task.state, task.error))

    def _rebuild(self, type_name: str, module: str, arguments: Any) -> BaseException:
        ours = getattr(errors, type_name, None) if module == errors.__name__ else None
        if isinstance(ours, type) and issubclass(ours, errors.CeleriacError):
            # Our errors are made from facts; what was kept is the sentence.
            return ours.__new__(ours, *arguments)
        # Only modules that are imported already are looked into, and only exceptions built.
        rebuilt: BaseException = self.exception_to_python(
            {"exc_type": type_name, "exc_module": module, "exc_message": arguments}
        )
        return rebuilt

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        on_interval: Any = None,
    ) -> Any:
        """Return a task's meta when it has ended.

        Raises:
            TimeoutError: Celery's own, when the time is over first.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._engine.notices.listening(TaskId(task_id)) as notice:
            while True:
                meta = self.get_task_meta(task_id)
                if meta["status"] in states.READY_STATES:
                    return meta
                if on_interval:
                    on_interval()
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise CeleryTimeoutError("The operation timed out.")
                notice.wait(left)

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        on_message: Any = None,
        on_interval: Any = None,
        max_iterations: int | None = None,
        READY_STATES: Collection[str] = states.READY_STATES,  # noqa: N803 - Celery's signature
    ) -> Iterator[tuple[str, Any]]:
        """Yield the id and the meta of each of many tasks as it ends.

        Raises:
            TaskNotFoundError: No task has one of the ids.
            TimeoutError: Celery's own, when the time is over first.
        """
        left = {TaskId(task_id) for task_id in task_ids}
        deadline = None if timeout is None else time.monotonic() + timeout
        looks = itertools.count(1)
        with self._engine.notices.listening(*left) as notice:
            while left:
                for task_id, meta in self.get_metas(left).items():
                    if meta["status"] in READY_STATES:
                        left.discard(task_id)
                        if on_message:
                            on_message(meta)
                        yield task_id, meta
                if not left or (max_iterations and next(looks) >= max_iterations):
                    return
                if on_interval:
                    on_interval()
                rest = None if deadline is None else deadline - time.monotonic()
                if rest is not None and rest <= 0:
                    raise CeleryTimeoutError("The operation timed out.")
                notice.wait(rest)

    def get_metas(self, task_ids: Iterable[TaskId]) -> dict[TaskId, Any]:
        """Return the metas of many tasks, out of the ledger, by id.

        Raises:
            TaskNotFoundError: No task has one of the ids.
        """
        wanted = sorted(task_ids)
        metas = {each: self._cache[each] for each in wanted if each in self._cache}
        unread = [each for each in wanted if each not in metas]
        found = self._engine.road.find(unread) if unread else {}
        for task_id in unread:
            metas[task_id] = self._meta_of(task_id, found.get(task_id))
            if metas[task_id]["status"] in states.READY_STATES:
                self._cache[task_id] = metas[task_id]
        return metas

    def forget(self, task_id: str) -> None:
        """Drop what this process remembers of a result; the ledger keeps its record."""
        self._cache.pop(task_id, None)

    # ---- group results: a name for a list of ids

    def _save_group(self, group_id: str, result: GroupResult) -> GroupResult:
        self._engine.ledger.settings.put(_group_key(group_id), json.dumps(result.as_tuple()))
        return result

    def _restore_group(self, group_id: str) -> Any:
        kept = self._engine.ledger.settings.find(_group_key(group_id))
        if kept is None:
            return None
        from celery.result import result_from_tuple

        return {"result": result_from_tuple(json.loads(kept), self.app)}

    def _delete_group(self, group_id: str) -> None:
        self._engine.ledger.settings.remove(_group_key(group_id))


def leaves(result: Any) -> Iterator[str]:
    """Yield the ids of the tasks under a result, written as Celery does: ((id, parent), parts)."""
    (task_id, _), parts = result
    if parts is None:
        yield task_id
    else:
        for part in parts:
            yield from leaves(part)


def _sentence(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        # A user's code like any other, and its task has failed already.
        return f"{type(exc).__qualname__}, which cannot be shown"


def _group_key(group_id: str) -> str:
    return f"celery_group:{group_id}"
