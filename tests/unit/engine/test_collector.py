from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from celeriac.core.task import NewTask, TaskId
from celeriac.engine.collector import Collector, collecting, current_collector
from tests.engines import make_arguments, make_claimed

CLAIMED = make_claimed("add", task_id="mine")


def _row(task_id: str, *, is_waiting: bool = False) -> NewTask:
    return NewTask(
        id=TaskId(task_id),
        name="add",
        arguments=make_arguments(),
        is_waiting=is_waiting,
        upstream_id="up" if is_waiting else None,
    )


def test_nobody_collects_outside_of_a_running_task() -> None:
    assert current_collector() is None


def test_the_collector_of_the_innermost_task_collects() -> None:
    with collecting(CLAIMED) as outer:
        with collecting(make_claimed("add", task_id="inner")) as inner:
            assert current_collector() is inner

        assert current_collector() is outer
    assert current_collector() is None


def test_the_collector_is_gone_when_the_task_raises() -> None:
    with pytest.raises(SystemExit), collecting(CLAIMED):
        raise SystemExit

    assert current_collector() is None


def test_another_thread_does_not_see_the_collector() -> None:
    with collecting(CLAIMED), ThreadPoolExecutor(1) as threads:
        seen = threads.submit(current_collector).result()

    assert seen is None


def test_a_thread_that_runs_in_the_tasks_context_sees_the_collector() -> None:
    seen = []

    with collecting(CLAIMED) as collector:
        context = copy_context()
        thread = threading.Thread(
            target=context.run, args=(lambda: seen.append(current_collector()),)
        )
        thread.start()
        thread.join()

    assert seen == [collector]


def test_a_task_sent_under_its_own_id_is_sent_again() -> None:
    collector = Collector(CLAIMED)
    again = _row("mine")

    collector.add(again, ())

    assert collector.resend is again
    assert collector.continuations == []


def test_another_task_continues_with_the_rows_that_wait_for_it() -> None:
    collector = Collector(CLAIMED)
    link, later = _row("link"), _row("later", is_waiting=True)

    collector.add(link, (later,))

    assert collector.resend is None
    assert collector.continuations == [link, later]


def test_a_waiting_row_under_its_own_id_says_that_a_canvas_replaced_the_task() -> None:
    collector = Collector(CLAIMED)
    own = _row("mine", is_waiting=True)

    collector.add(_row("first"), (own,))

    assert collector.own_placeholder() is own


def test_without_such_a_row_no_canvas_replaced_the_task() -> None:
    collector = Collector(CLAIMED)

    collector.add(_row("first"), (_row("second", is_waiting=True),))

    assert collector.own_placeholder() is None
