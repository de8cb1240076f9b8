"""How results are read and waited for: out of the ledger, woken by the broker."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult, result_from_tuple

from celeriac.core.file_reference import find_file_ids
from celeriac.core.task import Codec, Task, TaskId
from celeriac.engine import codec
from celeriac.engine.failures import exception_facts, rebuild
from celeriac.engine.metas import HeardMeta, meta_of_task
from celeriac.errors import TaskNotFoundError
from celeriac.files.file import KeptFiles, open_files


class ReadingBackend(BaseBackend):
    """The half of a Celery backend that asks what became of tasks."""

    @property
    def _engine(self) -> Any:
        return self.app.celeriac

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Return what Celery calls a task's meta, out of the ledger.

        Raises:
            TaskNotFoundError: No task has this id.
        """
        wanted = TaskId(task_id)
        if cache:
            return self.get_metas([wanted])[wanted]
        return self._meta_of(wanted, self._engine.road.find([wanted]).get(wanted))

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

    def children_of(self, task_id: TaskId) -> Sequence[TaskId]:
        """Return the ids of what a task has sent and what follows it."""
        children: Sequence[TaskId] = self._engine.road.children_of(task_id)
        return children

    def exception_of(self, task: Task) -> BaseException:
        """Return why a task ended without a result, as the exception a caller gets."""
        return rebuild(exception_facts(task.state, task.error), self.exception_to_python)

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
        ends = self.get_many([task_id], timeout, on_interval=on_interval)
        with contextlib.closing(ends):
            _, meta = next(ends)
        return meta

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
    ) -> Generator[tuple[str, Any], None, None]:
        """Yield the id and the meta of each of many tasks as it ends.

        Raises:
            TaskNotFoundError: No task has one of the ids.
            TimeoutError: Celery's own, when the time is over first.
        """
        left = {TaskId(task_id) for task_id in task_ids}
        deadline = None if timeout is None else time.monotonic() + timeout
        looks = itertools.count(1)

        def end(task_id: TaskId, meta: Any) -> Iterator[tuple[str, Any]]:
            left.discard(task_id)
            if on_message:
                on_message(meta)
            yield task_id, meta

        def look() -> Iterator[tuple[str, Any]]:
            for task_id, meta in self.get_metas(left).items():
                if meta["status"] in READY_STATES:
                    yield from end(task_id, meta)

        # Nobody need be told of what has ended already, and to have oneself told takes longer.
        yield from look()
        if not left:
            return
        with self._engine.notices.listening(*left) as notice:
            while True:
                yield from look()
                if not left or (max_iterations and next(looks) >= max_iterations):
                    return
                if on_interval:
                    on_interval()
                rest = None if deadline is None else deadline - time.monotonic()
                if rest is not None and rest <= 0:
                    raise CeleryTimeoutError("The operation timed out.")
                said = notice.wait(rest)
                heard = None if said is None else self._believe(left, said)
                if heard is not None:
                    yield from end(heard["task_id"], heard)
                    return

    def _believe(self, left: Collection[TaskId], said: bytes) -> HeardMeta | None:
        """Return the meta of the task that is waited for, if what was said is truly its end."""
        text = self._engine.signer.verify(said)
        if text is None:
            return None
        heard = HeardMeta(codec.load(Codec.JSON, text.decode()), self._read_meta)
        if heard["task_id"] not in left:
            return None
        self._cache[heard["task_id"]] = heard
        return heard

    def _read_meta(self, task_id: TaskId) -> Any:
        return self.get_task_meta(task_id, cache=False)

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
        return {"result": result_from_tuple(json.loads(kept), self.app)}

    def _delete_group(self, group_id: str) -> None:
        self._engine.ledger.settings.remove(_group_key(group_id))


def _group_key(group_id: str) -> str:
    return f"celery_group:{group_id}"
