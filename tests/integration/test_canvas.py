"""Chains, groups, chords, links and errbacks through a real worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError

from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Task
from tests.stage import Stage


def states_along(result: Any, stage: Stage) -> list[TaskState]:
    """Return the states of a chain's links, the last one first."""
    found = []
    while result is not None:
        found.append(stage.get(result.id).state)
        result = result.parent
    return found


def failed_upstream(stage: Stage, task_id: str) -> Task:
    """Wait until a task has failed for another one's failure, and return it."""
    task = stage.wait_for_state(task_id, TaskState.FAILED)
    assert task.error is not None
    assert task.error.kind is ErrorKind.UPSTREAM
    return task


def test_chain_hands_each_result_on(stage: Stage, client: Any) -> None:
    result = chain(client.add.s(1, 2), client.add.s(3), client.add.s(4)).apply_async()

    assert result.get(timeout=15) == 10

    assert result.parent.get(timeout=1) == 6
    assert result.parent.parent.get(timeout=1) == 3
    assert states_along(result, stage) == [TaskState.COMPLETED] * 3
    first, last = result.parent.parent.id, stage.get(result.id)
    assert last.root_id == first
    assert last.parent_id == result.parent.id


def test_later_links_of_a_chain_are_known_before_their_turn(
    stage: Stage, client: Any, key: str
) -> None:
    result = chain(
        client.wait_for.s(key), client.note.s(f"{key}:note"), client.echo.s()
    ).apply_async()
    middle, first = result.parent, result.parent.parent

    stage.wait_for_effect(f"{key}:start")
    assert (first.state, middle.state, result.state) == ("STARTED", "PENDING", "PENDING")
    waiting = stage.get(middle.id)
    assert waiting.state is TaskState.WAITING
    assert waiting.upstream_id == first.id
    assert stage.get(result.id).upstream_id == middle.id

    stage.gates.open(key)
    assert result.get(timeout=15) == key
    assert stage.get(middle.id).upstream_id is None
    assert len(stage.effects.of(f"{key}:note")) == 1


def test_chain_that_fails_in_the_middle_fails_what_waits_behind(
    stage: Stage, client: Any, key: str
) -> None:
    links = chain(client.add.s(1, 1), client.boom.s(), client.note.s(key), client.note.s(key))

    result = links.apply_async(link_error=client.keyed_errback.s(f"{key}:errback"))
    failing = result.parent.parent

    with pytest.raises(ValueError, match="no good"):
        failing.get(timeout=15)
    failed_upstream(stage, result.parent.id)
    failed_upstream(stage, result.id)
    assert result.state == "FAILURE"
    assert isinstance(result.get(timeout=15, propagate=False), Exception)
    assert failing.parent.get(timeout=1) == 2
    stage.wait_for_effect(f"{key}:errback")
    stage.wait_until_all_end()
    assert len(stage.effects.of(f"{key}:errback")) == 1
    assert stage.effects.of(key) == []


def test_group_gives_its_results_in_order(stage: Stage, client: Any) -> None:
    result = group(client.add.s(each, each) for each in range(10)).apply_async()

    assert result.get(timeout=15) == [2 * each for each in range(10)]

    assert result.successful()
    assert {stage.get(part.id).group_id for part in result.results} == {result.id}


def test_group_with_a_failing_part_lets_the_others_complete(client: Any) -> None:
    result = group(client.add.s(1, 1), client.boom.s(), client.add.s(2, 2)).apply_async()

    values = result.get(timeout=15, propagate=False)

    assert (values[0], values[2]) == (2, 4)
    assert isinstance(values[1], ValueError)


def test_chord_runs_its_body_once_with_the_results_in_order(
    stage: Stage, client: Any, key: str
) -> None:
    header = [client.slow_add.s(each, 0, 0.02 * (5 - each)) for each in range(6)]

    result = chord(header)(client.collect.s(key=key))

    assert result.get(timeout=15) == [0, 1, 2, 3, 4, 5]
    stage.wait_until_all_end()
    assert len(stage.effects.of(key)) == 1


def test_body_of_a_chord_is_known_before_its_turn(stage: Stage, client: Any, key: str) -> None:
    result = chord([client.wait_for.s(key), client.add.s(1, 1)])(client.collect.s())

    stage.wait_for_effect(f"{key}:start")
    assert result.state == "PENDING"
    assert stage.get(result.id).state is TaskState.WAITING

    stage.gates.open(key)
    assert result.get(timeout=15) == [key, 2]


def test_chord_with_a_failing_part_fails_its_body_and_calls_its_errback_once(
    stage: Stage, client: Any, key: str
) -> None:
    body = client.collect.s(key=key).on_error(client.keyed_errback.s(f"{key}:errback"))

    result = chord([client.add.s(1, 1), client.boom.s(), client.boom.s()])(body)

    failed_upstream(stage, result.id)
    assert result.state == "FAILURE"
    stage.wait_until_all_end()
    lines = stage.effects.of(f"{key}:errback")
    assert len(lines) == 1
    assert "ChordError" in lines[0].text
    assert stage.effects.of(key) == []


def test_failed_chord_raises_for_who_waits(client: Any) -> None:
    result = chord([client.boom.s(), client.add.s(1, 1)])(client.collect.s())

    # While it waits Celery looks at the header too, and raises what it sees first.
    with pytest.raises((ValueError, ChordError), match="no good"):
        result.get(timeout=15)
    with pytest.raises(ChordError, match="no good"):
        client.app.AsyncResult(result.id).get(timeout=15)


def test_chord_inside_a_chain(stage: Stage, client: Any) -> None:
    result = chain(
        client.add.s(1, 1),
        group(client.add.s(1), client.add.s(2)),
        client.collect.s(),
        client.total.s(),
    ).apply_async()

    assert result.get(timeout=15) == 7
    assert result.parent.get(timeout=1) == [3, 4]


def test_chord_inside_a_chain_that_fails_before_it(stage: Stage, client: Any, key: str) -> None:
    result = chain(
        client.boom.s(),
        group(client.note.s(key), client.note.s(key)),
        client.collect.s(key=key),
        client.total.s(),
    ).apply_async()

    failed_upstream(stage, result.id)
    stage.wait_until_all_end()
    assert stage.effects.of(key) == []


def test_chains_as_the_header_of_a_chord(client: Any, key: str, stage: Stage) -> None:
    header = [chain(client.add.s(each, each), client.add.s(1)) for each in range(3)]

    result = chord(header)(client.collect.s(key=key))

    assert result.get(timeout=15) == [1, 3, 5]
    stage.wait_until_all_end()
    assert len(stage.effects.of(key)) == 1


def test_chain_that_fails_in_the_header_of_a_chord_fails_its_body(
    client: Any, key: str, stage: Stage
) -> None:
    header = [client.add.s(1, 1), chain(client.boom.s(), client.add.s(1))]

    result = chord(header)(client.collect.s(key=key))

    failed_upstream(stage, result.id)
    assert stage.effects.of(key) == []


def test_chord_of_chords(client: Any) -> None:
    inner = [
        chord([client.add.s(each, 1), client.add.s(each, 2)], client.total.s()) for each in (1, 2)
    ]

    result = chord(inner)(client.collect.s())

    assert result.get(timeout=15) == [5, 7]


def test_group_at_the_end_of_a_chain(client: Any) -> None:
    result = chain(client.add.s(1, 1), group(client.add.s(1), client.add.s(2))).apply_async()

    assert result.get(timeout=15) == [3, 4]


CANVASES: dict[str, Callable[[Any, str], tuple[Any, Any]]] = {
    # What is sent, and what comes out; every one of them waits at the gate on its way.
    "chain": lambda c, gate: (chain(c.add.s(1, 1), c.wait_for.si(gate), c.echo.s()), gate),
    "chord": lambda c, gate: (
        chord([c.wait_for.si(gate), c.add.s(1, 1)], c.collect.s()),
        [gate, 2],
    ),
    "chord in a chain": lambda c, gate: (
        chain(c.add.s(1, 1), group(c.wait_for.si(gate), c.add.s(2)), c.collect.s(), c.echo.s()),
        [gate, 4],
    ),
    "chains in a chord": lambda c, gate: (
        chord([chain(c.wait_for.si(gate), c.echo.s(), c.echo.s())] * 2, c.collect.s()),
        [gate, gate],
    ),
    "chord in a chord": lambda c, gate: (
        chord([chord([c.wait_for.si(gate), c.add.s(1, 1)], c.collect.s())], c.collect.s()),
        [[gate, 2]],
    ),
    "body that is a chain": lambda c, gate: (
        chord([c.wait_for.si(gate)], chain(c.collect.s(), c.echo.s())) | c.echo.s(),
        [gate],
    ),
    "body that is a group": lambda c, gate: (
        chord([c.wait_for.si(gate)], group(c.collect.s(), c.echo.s())),
        [[gate], [gate]],
    ),
    "replaced link": lambda c, gate: (
        chain(c.replace_by_waiting_chain.si(gate), c.echo.s(), c.echo.s()),
        gate,
    ),
    "replaced by a group": lambda c, gate: (
        chain(c.replace_by_waiting_group.si(gate), c.echo.s()),
        [gate, 2],
    ),
    "replaced part": lambda c, gate: (
        chord([c.replace_by_waiting_chain.si(gate), c.add.s(1, 1)], c.collect.s()),
        [gate, 2],
    ),
}


@pytest.mark.parametrize("build", CANVASES.values(), ids=CANVASES.keys())
def test_nothing_in_a_canvas_that_runs_is_taken_for_an_orphan(
    stage: Stage, client: Any, key: str, build: Callable[[Any, str], tuple[Any, Any]]
) -> None:
    canvas, expected = build(client, key)
    result = canvas.apply_async()
    stage.wait_for_effect(f"{key}:start")
    # Some links behind the first have to be written before all of them wait.
    stage.wait_until_quiet()

    # The janitor looks every few seconds; here it looks when it matters.
    orphans = stage.ledger.sweeps.fail_orphans()

    assert list(orphans) == []
    stage.gates.open(key)
    assert result.get(timeout=15) == expected


def test_map_and_chunks_run(client: Any) -> None:
    mapped = client.echo.map([1, 2, 3]).apply_async()
    chunked = client.add.chunks([(1, 1), (2, 2), (3, 3)], 2).apply_async()

    assert mapped.get(timeout=15) == [1, 2, 3]
    assert chunked.get(timeout=15) == [[2, 4], [6]]


def test_link_is_called_with_the_result(stage: Stage, client: Any, key: str) -> None:
    result = client.add.apply_async((1, 1), link=client.note.s(key))

    assert result.get(timeout=15) == 2
    stage.wait_for_effect(key)
    stage.wait_until_all_end()
    assert [line.text for line in stage.effects.of(key)] == ["2"]


def test_several_links_are_all_called(stage: Stage, client: Any, key: str) -> None:
    links = [client.note.s(f"{key}:{each}") for each in range(3)]

    client.add.apply_async((1, 1), link=links).get(timeout=15)

    for each in range(3):
        stage.wait_for_effect(f"{key}:{each}")
    stage.wait_until_all_end()
    assert [len(stage.effects.of(f"{key}:{each}")) for each in range(3)] == [1, 1, 1]


def test_link_is_not_called_when_the_task_fails(stage: Stage, client: Any, key: str) -> None:
    result = client.boom.apply_async(link=client.note.s(key))

    stage.wait_for_state(result.id, TaskState.FAILED)
    stage.wait_until_all_end()
    assert stage.effects.of(key) == []


def test_old_errback_runs_as_a_task_with_the_failed_id(stage: Stage, client: Any) -> None:
    result = client.boom.apply_async(link_error=client.old_errback.s())

    stage.wait_for_effect(f"old_errback:{result.id}")
    stage.wait_until_all_end()
    assert len(stage.effects.of(f"old_errback:{result.id}")) == 1


def test_new_errback_gets_the_exception(stage: Stage, client: Any) -> None:
    result = client.boom.apply_async(link_error=client.new_errback.s())

    stage.wait_for_effect(f"new_errback:{result.id}")
    stage.wait_until_all_end()
    lines = stage.effects.of(f"new_errback:{result.id}")
    assert [line.text for line in lines] == ["ValueError('no good', 7)"]


def test_errback_is_not_called_when_the_task_completes(stage: Stage, client: Any) -> None:
    result = client.add.apply_async((1, 1), link_error=client.new_errback.s())

    assert result.get(timeout=15) == 2
    stage.wait_until_all_end()
    assert stage.effects.of(f"new_errback:{result.id}") == []
