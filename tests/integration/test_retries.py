"""Tasks that ask to be run again, and tasks that let another take their place."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord
from celery.exceptions import MaxRetriesExceededError

from celeriac.core.state import ErrorKind, TaskState
from tests.integration.apps.troubles import TroubleError
from tests.stage import Stage


def test_retried_task_runs_under_the_same_id(stage: Stage, client: Any, key: str) -> None:
    result = client.retry_until.delay(key, 3)

    assert result.get(timeout=15) == "done after 2 retries"

    task = stage.get(result.id)
    assert (task.attempt, task.retries, task.crashes) == (3, 2, 0)
    assert stage.endings(result.id) == ["retried", "retried", "completed"]
    assert len(stage.effects.of(key)) == 3


def test_retry_waits_for_its_countdown_in_the_ledger(stage: Stage, client: Any, key: str) -> None:
    result = client.retry_until.delay(key, 2, countdown=0.8)

    scheduled = stage.wait_for_state(result.id, TaskState.SCHEDULED)
    assert scheduled.not_before is not None
    assert result.state == "RETRY"
    assert result.get(timeout=15) == "done after 1 retries"

    first, second = stage.effects.of(key)
    assert second.at - first.at >= 0.8


def test_task_that_retries_too_often_fails_with_its_exception(
    stage: Stage, client: Any, key: str
) -> None:
    result = client.retry_too_often.delay(key, True)

    with pytest.raises(TroubleError, match="at last"):
        result.get(timeout=15)

    assert stage.endings(result.id) == ["retried", "failed"]
    assert len(stage.effects.of(key)) == 2


def test_task_that_retries_too_often_without_an_exception_says_so(client: Any, key: str) -> None:
    result = client.retry_too_often.delay(key, False)

    with pytest.raises(MaxRetriesExceededError):
        result.get(timeout=15)


def test_task_is_retried_for_exceptions_it_named(stage: Stage, client: Any, key: str) -> None:
    result = client.flaky.delay(key, 2)

    assert result.get(timeout=15) == "well"

    assert stage.endings(result.id) == ["retried", "retried", "completed"]


def test_task_is_retried_only_as_often_as_it_named(stage: Stage, client: Any, key: str) -> None:
    result = client.flaky.delay(key, 9)

    with pytest.raises(TroubleError):
        result.get(timeout=15)

    assert len(stage.effects.of(key)) == 4


def test_retry_without_raising_wins_over_what_the_body_returns(
    stage: Stage, client: Any, key: str
) -> None:
    result = client.retry_quietly.delay(key)

    assert result.get(timeout=15) == "final"

    assert stage.endings(result.id) == ["retried", "completed"]
    assert len(stage.effects.of(key)) == 2


def test_retry_may_change_the_arguments(client: Any) -> None:
    result = client.retry_with_more.delay(2)

    assert result.get(timeout=15) == 42


def test_retried_link_hands_its_result_on(client: Any, key: str) -> None:
    result = chain(client.flaky.s(key, 1), client.echo.s()).apply_async()

    assert result.get(timeout=15) == "well"


def test_retried_part_counts_once_in_its_chord(client: Any, key: str) -> None:
    result = chord([client.flaky.s(key, 2), client.add.s(1, 1)])(client.collect.s())

    assert result.get(timeout=15) == ["well", 2]


def test_task_is_replaced_by_a_task(stage: Stage, client: Any) -> None:
    result = client.replace_by_task.delay(1)

    assert result.get(timeout=15) == 2

    assert stage.get(result.id).state is TaskState.COMPLETED


def test_task_is_replaced_by_a_chain(stage: Stage, client: Any) -> None:
    result = client.replace_by_chain.delay(1)

    assert result.get(timeout=15) == 3

    assert stage.get(result.id).state is TaskState.COMPLETED


def test_task_is_replaced_by_a_group(stage: Stage, client: Any) -> None:
    result = client.replace_by_group.delay(1)

    assert result.get(timeout=15) == [2, 3]

    assert stage.get(result.id).state is TaskState.COMPLETED


@pytest.mark.parametrize(
    ("replacing", "expected"), [("replace_by_task", 12), ("replace_by_chain", 13)]
)
def test_replaced_link_hands_its_result_on(client: Any, replacing: str, expected: int) -> None:
    link = getattr(client, replacing)

    result = chain(link.s(1), client.add.s(10)).apply_async()

    assert result.get(timeout=15) == expected


def test_replaced_part_counts_once_in_its_chord(client: Any) -> None:
    result = chord([client.replace_by_chain.s(1), client.add.s(1, 1)])(client.collect.s())

    assert result.get(timeout=15) == [3, 2]


def test_task_fails_with_the_chain_that_replaced_it(stage: Stage, client: Any) -> None:
    result = client.replace_by_failing_chain.delay()

    with pytest.raises(ValueError, match="no good"):
        result.get(timeout=15)

    task = stage.get(result.id)
    assert task.error is not None
    assert task.error.kind is ErrorKind.EXCEPTION


def test_link_of_a_replaced_task_is_called_once(stage: Stage, client: Any, key: str) -> None:
    result = client.replace_by_chain.apply_async((1,), link=client.note.s(key))

    assert result.get(timeout=15) == 3
    stage.wait_for_effect(key)
    stage.wait_until_all_end()
    assert [line.text for line in stage.effects.of(key)] == ["3"]
