"""The rarer features of Celery: what a task may say of itself, and what its caller may add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord, group
from celery.canvas import StampingVisitor
from celery.contrib.abortable import AbortableAsyncResult
from kombu.connection import Connection
from kombu.entity import Exchange
from kombu.messaging import Producer

from celeriac.core.state import TaskState
from tests.integration.apps.troubles import TroubleError
from tests.stage import Stage


@pytest.fixture
def features(client: Any) -> Any:
    """The tasks of the rarer features."""
    return client.features


# Retries


def test_pause_before_an_automatic_retry_grows_as_told(
    stage: Stage, features: Any, key: str
) -> None:
    result = features.back_off.delay(key)

    assert result.get(timeout=15) == "well"

    first, second = stage.effects.of(key)
    assert second.at - first.at >= 1
    assert stage.endings(result.id) == ["retried", "completed"]


def test_pause_with_jitter_is_at_most_what_was_told(stage: Stage, features: Any, key: str) -> None:
    result = features.back_off_somehow.delay(key)

    assert result.get(timeout=15) == "well"

    assert stage.endings(result.id) == ["retried", "completed"]


def test_exception_that_was_excepted_from_retries_fails_at_once(
    stage: Stage, features: Any, key: str
) -> None:
    result = features.never_again.delay(key)

    with pytest.raises(TroubleError):
        result.get(timeout=15)

    assert len(stage.effects.of(key)) == 1


def test_expected_exception_fails_the_task_without_an_alarm(
    stage: Stage, features: Any, key: str
) -> None:
    result = features.expect_trouble.delay(key)

    with pytest.raises(TroubleError):
        result.get(timeout=15)

    stage.worker.wait_for_log(f"[{result.id}] raised expected")
    assert f"[{result.id}] raised unexpected" not in stage.worker.log_text()


# Canvas


def test_starmap_and_map_of_several_run_in_one_task(stage: Stage, client: Any) -> None:
    starmap = client.add.starmap([(1, 1), (2, 2), (3, 3)]).apply_async()

    assert starmap.get(timeout=15) == [2, 4, 6]
    assert stage.get(starmap.id).name == "celery.starmap"


def test_chunks_become_a_group(client: Any) -> None:
    result = client.add.chunks(zip(range(10), range(10), strict=True), 4).group().apply_async()

    assert result.get(timeout=15) == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18]]


def test_immutable_link_is_not_given_the_result(client: Any) -> None:
    result = (client.add.s(1, 1) | client.add.si(20, 1)).apply_async()

    assert result.get(timeout=15) == 21


def test_chain_in_a_chord_in_a_group_in_a_chain(client: Any) -> None:
    inner = chord([client.add.s(1), client.add.s(2) | client.add.s(10)], client.total.s())

    result = chain(client.add.s(0, 1), group(inner, client.add.s(100)), client.collect.s())()

    assert result.get(timeout=20) == [15, 101]


class _Tenant(StampingVisitor):
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"tenant": "blue", "stamped_headers": ["tenant"]}


def test_stamps_reach_every_task_of_a_canvas(features: Any) -> None:
    canvas = group(features.tell_stamps.s(), features.tell_stamps.s())
    canvas.stamp(_Tenant())

    result = canvas.apply_async()

    for told in result.get(timeout=15):
        assert told["headers"] == ["tenant"]
        assert told["stamps"] == {"tenant": "blue"}


def test_stamps_reach_the_later_links_of_a_chain(features: Any) -> None:
    canvas = chain(features.tell_stamps.si(), features.tell_stamps.si())
    canvas.stamp(order=["7"])

    result = canvas.apply_async()

    assert result.get(timeout=15)["stamps"] == {"order": ["7"]}
    assert result.parent.get(timeout=15)["stamps"] == {"order": ["7"]}


def test_headers_of_the_caller_reach_the_task(features: Any) -> None:
    result = features.tell_headers.apply_async(headers={"tenant": "blue"})

    assert result.get(timeout=15) == "blue"


# Ending early


def test_abortable_task_ends_itself_when_it_is_aborted(
    stage: Stage, features: Any, client: Any, key: str
) -> None:
    result = features.until_aborted.delay(key)
    stage.wait_for_effect(f"{key}:start")

    AbortableAsyncResult(result.id, app=client.app).abort()

    assert result.get(timeout=15) == "aborted"
    assert len(stage.effects.of(key)) == 1
    assert stage.get(result.id).state is TaskState.COMPLETED


def test_abortable_task_that_is_let_alone_is_not_aborted(
    stage: Stage, features: Any, client: Any, key: str
) -> None:
    result = features.until_aborted.delay(key)
    stage.wait_for_effect(f"{key}:start")

    assert not AbortableAsyncResult(result.id, app=client.app).is_aborted()

    AbortableAsyncResult(result.id, app=client.app).abort()
    assert AbortableAsyncResult(result.id, app=client.app).is_aborted()
    result.get(timeout=15)


# Routing


def test_route_of_the_configuration_sends_a_task_to_its_queue(
    stage: Stage, features: Any, client: Any, key: str
) -> None:
    result = features.aside.delay(key)

    assert stage.get(result.id).queue == "aside"
    client.app.control.add_consumer("aside", reply=True, destination=[stage.worker.name])
    try:
        assert result.get(timeout=15) == key
    finally:
        client.app.control.cancel_consumer("aside", reply=True, destination=[stage.worker.name])


def test_queue_of_the_call_is_where_the_task_runs(stage: Stage, features: Any, client: Any) -> None:
    result = features.where.apply_async(queue="default", priority=3)

    assert result.get(timeout=15) == "default"


# Steps of the user's


def test_consumer_step_of_the_user_reads_messages_that_are_no_tasks(
    stage: Stage, client: Any, key: str
) -> None:
    with Connection(stage.broker.url) as connection:
        producer = Producer(connection, Exchange("announcements"), "announcements")
        producer.publish({"key": key, "text": "hear, hear"}, serializer="json")

    stage.wait_for_effect(key)
    assert [line.text for line in stage.effects.of(key)] == ["hear, hear"]
    assert client.add.delay(1, 1).get(timeout=15) == 2


def test_step_of_the_user_starts_with_the_worker(stage: Stage) -> None:
    assert f"start {stage.worker.name}" in [line.text for line in stage.effects.of("step")]


# In the caller's own process


@pytest.fixture
def eager(client: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The app, running every task right here."""
    # What the worker has in its environment.
    monkeypatch.setenv("EFFECTS_FILE", stage.environment["EFFECTS_FILE"])
    client.app.conf.task_always_eager = True
    yield client
    client.app.conf.task_always_eager = False


def test_eager_task_runs_in_the_callers_process(eager: Any, stage: Stage, key: str) -> None:
    before = len(stage.list_tasks())

    result = eager.mark.delay(key)

    assert (result.get(), result.state) == (key, "SUCCESS")
    assert len(stage.effects.of(key)) == 1
    assert eager.features.tell_itself.delay().get() == {"eager": True, "direct": False}
    assert len(stage.list_tasks()) == before


def test_eager_canvas_runs_in_the_callers_process(eager: Any) -> None:
    links = chain(eager.add.s(1, 1), eager.add.s(2)).apply_async()
    counted = chord([eager.add.s(1, 1), eager.add.s(2, 2)])(eager.total.s())

    assert links.get() == 4
    assert counted.get() == 6


def test_eager_task_that_fails_keeps_its_exception(eager: Any) -> None:
    result = eager.boom.delay()

    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="no good"):
        result.get()


def test_applied_task_runs_in_the_callers_process_and_is_retried_there(
    client: Any, stage: Stage, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFECTS_FILE", stage.environment["EFFECTS_FILE"])

    result = client.retry_until.apply((key, 3))

    assert result.get() == "done after 2 retries"
    assert stage.find(result.id) is None
