"""What a client may ask of the results it holds."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, group
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult, ResultSet, result_from_tuple

from celeriac.core.state import TaskState
from tests.stage import APP, Stage


def test_result_tells_of_its_task(stage: Stage, client: Any) -> None:
    result = client.add.delay(1, 2)

    assert result.get(timeout=15) == 3

    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert result.name == f"{APP}.add"
    assert (result.queue, result.worker) == ("default", stage.worker.name)
    assert (list(result.args), result.kwargs) == ([1, 2], {})
    assert result.retries == 0
    assert result.date_done is not None


def test_result_is_found_again_by_its_id(client: Any) -> None:
    result = client.add.delay(1, 2)

    again = client.app.AsyncResult(result.id)

    assert again.get(timeout=15) == 3
    assert again == result
    assert result_from_tuple(result.as_tuple(), client.app).get(timeout=1) == 3


def test_result_that_failed_says_so(client: Any) -> None:
    result = client.boom.delay()

    result.wait(timeout=15, propagate=False)

    assert (result.ready(), result.successful(), result.failed()) == (True, False, True)
    assert isinstance(result.info, ValueError)
    with pytest.raises(ValueError, match="no good"):
        result.maybe_throw()


def test_forgotten_result_stays_in_the_ledger(stage: Stage, client: Any) -> None:
    result = client.add.delay(1, 2)
    assert result.get(timeout=15) == 3

    result.forget()

    assert stage.get(result.id).state is TaskState.COMPLETED


def test_results_of_what_a_task_sent_are_its_children(client: Any) -> None:
    result = client.submit_other.delay(4)
    other = result.get(timeout=15)

    assert [child.id for child in result.children] == [other]
    collected = dict(result.collect(timeout=15))
    assert {each.id: value for each, value in collected.items()} == {result.id: other, other: 5}


def test_links_of_a_chain_are_found_from_its_first_result(client: Any) -> None:
    last = chain(client.add.s(1, 1), client.add.s(2)).apply_async()
    assert last.get(timeout=15) == 4

    first = client.app.AsyncResult(last.parent.id)

    assert [child.id for child in first.children] == [last.id]


def test_group_result_counts_its_parts(client: Any) -> None:
    result = group(client.add.s(each, 1) for each in range(5)).apply_async()

    assert result.get(timeout=15) == [1, 2, 3, 4, 5]

    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert (result.completed_count(), result.waiting()) == (5, False)
    assert sorted(result.join(timeout=15)) == [1, 2, 3, 4, 5]


def test_group_result_with_a_failed_part_raises_its_exception(client: Any) -> None:
    result = group(client.add.s(1, 1), client.boom.s()).apply_async()

    with pytest.raises(ValueError, match="no good"):
        result.get(timeout=15)

    assert not result.successful()


def test_group_result_is_saved_restored_and_deleted(client: Any) -> None:
    result = group(client.add.s(1, 1), client.add.s(2, 2)).apply_async()
    result.save()

    restored = GroupResult.restore(result.id, app=client.app)

    assert restored.get(timeout=15) == [2, 4]
    assert [part.id for part in restored] == [part.id for part in result]
    restored.delete()
    assert GroupResult.restore(result.id, app=client.app) is None


def test_parts_of_a_group_are_told_as_they_come(client: Any) -> None:
    result = group(client.add.s(each, 0) for each in range(4)).apply_async()
    told: list[tuple[str, int]] = []

    result.join_native(timeout=15, callback=lambda task_id, value: told.append((task_id, value)))

    assert sorted(told) == sorted((part.id, number) for number, part in enumerate(result))


def test_result_set_gathers_results_of_any_origin(client: Any) -> None:
    results = ResultSet([client.add.delay(1, 1)], app=client.app)
    results.add(client.echo.delay("x"))

    assert results.get(timeout=15) == [2, "x"]

    assert results.successful()
    results.remove(results.results[0].id)
    assert results.get(timeout=15) == ["x"]


def test_result_set_is_revoked_as_one(stage: Stage, client: Any, key: str) -> None:
    marks = [client.mark.s(f"{key}:{each}") for each in range(3)]
    with stage.all_slots_taken(f"{key}:gate"):
        result = group(marks).apply_async()
        result.revoke()
        for part in result:
            stage.wait_for_state(part.id, TaskState.CANCELLED)

    assert [stage.effects.of(f"{key}:{each}") for each in range(3)] == [[], [], []]


def test_waiting_for_a_group_ends_after_the_clients_own_timeout(
    stage: Stage, client: Any, key: str
) -> None:
    result = group(client.add.s(1, 1), client.wait_for.s(key)).apply_async()

    with pytest.raises(CeleryTimeoutError):
        result.get(timeout=0.3)

    stage.gates.open(key)
    assert result.get(timeout=15) == [2, key]
