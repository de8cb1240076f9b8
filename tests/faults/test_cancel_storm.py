"""Cancelling at any moment: what is recorded and what was done agree."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from celery import group

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.errors import TaskAlreadyFinalError
from tests.faults.history import reading
from tests.stage import Stage


def cancel_all(stage: Stage, ids: Sequence[str]) -> dict[str, TaskState]:
    """Ask for every task's end, from four threads; return what each was told."""

    def cancel(task_id: str) -> tuple[str, TaskState]:
        try:
            return task_id, stage.ledger.tasks.request_cancel(TaskId(task_id)).state
        except TaskAlreadyFinalError as error:
            return task_id, TaskState(error.state)

    with ThreadPoolExecutor(4) as callers:
        return dict(callers.map(cancel, ids))


def test_every_task_of_a_cancel_storm_ends_as_its_effect_says(stage: Stage, key: str) -> None:
    stage.worker.start_ready()
    mark = stage.client.mark_before
    # At once: sent one by one, the first ones had all run before the last one was there.
    sent = group(mark.s(f"{key}:{each}", 0.01) for each in range(300))()
    ids = [result.id for result in sent]
    names = {task_id: f"{key}:{each}" for each, task_id in enumerate(ids)}
    stage.wait_for_effect(f"{key}:20")

    read = [TaskId(task_id) for task_id in ids]
    with reading(lambda: stage.ledger.tasks.find_many(read).values()) as history:
        random.Random(7).shuffle(ids)
        told = cancel_all(stage, ids)
        stage.wait_until_all_end(seconds=30)

    assert history.problems() == []
    ended = {task_id: stage.get(task_id) for task_id in ids}
    assert {task.state for task in ended.values()} == {TaskState.CANCELLED, TaskState.COMPLETED}
    for task_id, task in ended.items():
        lines = len(stage.effects.of(names[task_id]))
        if task.state is TaskState.COMPLETED:
            assert lines == 1
        elif task.attempt == 0:
            assert lines == 0
        # Who was told of an end was told the truth.
        assert told[task_id] in (task.state, TaskState.RUNNING)
