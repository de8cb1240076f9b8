from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.outcome import NewChord
from celeriac.core.task import NewTask, TaskId
from celeriac.engine import codec
from celeriac.engine.messages import (
    chain_placeholders,
    placeholders,
    priority_for_message,
    priority_of_message,
    request_of,
    task_of_message,
)
from celeriac.errors import InvalidOptionError
from tests.engines import claim_of, make_claimed, open_app

Json = Any


class KeptRoad:
    """A road that keeps what is submitted on it, in order."""

    def __init__(self) -> None:
        self.tasks: list[NewTask] = []
        self.chords: list[NewChord] = []

    def submit(self, tasks: Any, chords: Any = ()) -> None:
        """Keep."""
        self.tasks.extend(tasks)
        self.chords.extend(chords)

    def by_id(self) -> dict[str, NewTask]:
        """Return the latest row under each id: what is sent later takes a placeholder's place."""
        return {str(each.id): each for each in self.tasks}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    with open_app(tmp_path_factory.mktemp("messages")) as made:

        @made.task(name="add")
        def add(*numbers: Any, **named: Any) -> Any:
            return sum(numbers)

        yield made


@pytest.fixture
def road(app: Celery) -> Iterator[KeptRoad]:
    before = app.celeriac.road
    kept = app.celeriac.road = KeptRoad()
    yield kept
    app.celeriac.road = before


@pytest.fixture
def add(app: Celery) -> Callable[..., Signature]:
    def make(name: str, *args: Any, **options: Any) -> Signature:
        return app.tasks["add"].s(*args).set(task_id=name, **options)

    return make


# ---- priorities


@given(st.integers(0, 9), st.booleans())
def test_a_priority_comes_back_from_the_broker_as_it_went(priority: int, zero_first: Any) -> None:
    sent = priority_for_message(priority, is_zero_first=zero_first)

    assert priority_of_message(sent, is_zero_first=zero_first) == priority
    assert 0 <= sent <= 9


@pytest.mark.parametrize(
    ("given_priority", "on_redis", "on_amqp"),
    [
        # Nothing said: the middle, wherever it is sent.
        (None, 5, 5),
        # The first on Redis is the last on AMQP.
        (0, 9, 0),
        (9, 0, 9),
        # Out of bounds: the nearest.
        (255, 0, 9),
        (-1, 9, 0),
    ],
)
def test_a_priority_means_what_the_broker_means(
    given_priority: int | None, on_redis: int, on_amqp: int
) -> None:
    assert priority_of_message(given_priority, is_zero_first=True) == on_redis
    assert priority_of_message(given_priority, is_zero_first=False) == on_amqp


# ---- from a message to a row


def _row_of(headers: dict[str, Any] | None = None, **embed: Any) -> NewTask:
    return task_of_message(
        {"id": "a", "task": "add", **(headers or {})},
        {},
        ([], {}, embed),
        queue="default",
        is_zero_first=True,
        at_most_once=False,
    )


@pytest.mark.parametrize(
    "eta",
    [
        "2026-11-22T12:00:00+00:00",
        "2026-11-22T13:00:00+01:00",
        # Celery without enable_utc leaves the zone away.
        "2026-11-22T12:00:00",
        datetime(2026, 11, 22, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_moment_is_kept_in_utc_however_it_was_said(eta: Any) -> None:
    row = _row_of({"eta": eta, "expires": eta})

    assert row.not_before == row.expires_at == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert row.not_before is not None
    assert row.not_before.tzinfo is UTC


def test_a_message_that_says_little_makes_a_row_with_our_defaults() -> None:
    row = _row_of()

    assert row == NewTask(
        id=TaskId("a"), name="add", arguments=codec.dump_arguments([], {}), headers="{}"
    )


def test_an_argument_that_no_json_carries_is_refused_before_anything_is_kept(
    app: Celery, road: KeptRoad
) -> None:
    with pytest.raises(TypeError):
        app.tasks["add"].delay(object())

    assert road.tasks == []


@pytest.mark.parametrize("unsound", ["half a \ud800 character", "a \x00 in it"])
def test_an_id_that_no_database_can_hold_is_refused(
    app: Celery, road: KeptRoad, unsound: str
) -> None:
    with pytest.raises(InvalidOptionError):
        app.tasks["add"].apply_async((1, 2), task_id=unsound)

    assert road.tasks == []


# ---- what Celery truly sends, and what the tracer gets of it


def test_a_plain_delay_is_one_row(app: Celery, road: KeptRoad) -> None:
    result = app.tasks["add"].delay(1, 2)

    (row,) = road.tasks
    assert row.id == result.id
    assert (row.name, row.queue, row.priority) == ("add", "default", 5)
    assert codec.load_arguments(row.arguments) == ([1, 2], {})
    assert row.not_before is None
    assert not row.is_waiting


def test_the_options_of_a_call_stand_in_the_rows_columns(app: Celery, road: KeptRoad) -> None:
    app.tasks["add"].apply_async(
        (1,),
        task_id="mine",
        queue="cpu",
        priority=3,
        countdown=60,
        expires=120,
        time_limit=9,
        soft_time_limit=4,
        ignore_result=True,
        retries=2,
    )

    (row,) = road.tasks
    assert (row.id, row.queue, row.priority) == ("mine", "cpu", 9 - 3 if _is_redis(app) else 3)
    assert (row.timeout_seconds, row.soft_timeout_seconds) == (9, 4)
    assert (row.ignore_result, row.retries) == (True, 2)
    assert row.not_before is not None
    assert row.expires_at is not None
    assert row.expires_at - row.not_before == pytest.approx(
        timedelta(seconds=60), abs=timedelta(seconds=1)
    )


def _is_redis(app: Celery) -> bool:
    return bool(app.celeriac.is_zero_first)


def test_the_tracer_gets_back_what_celery_sent(
    app: Celery, road: KeptRoad, add: Callable[..., Signature]
) -> None:
    app.tasks["add"].apply_async(
        (datetime(2026, 11, 22, tzinfo=UTC),),
        {"more": b"\x00"},
        task_id="mine",
        link=add("link", 1),
        link_error=add("errback"),
        chain=[add("next", 2)],
        shadow="alias",
        headers={"tenant": "x"},
        reply_to="me",
        time_limit=9,
        priority=3,
        retries=1,
    )
    row = road.by_id()["mine"]
    claimed = claim_of(row)
    args, kwargs = codec.load_arguments(claimed.arguments)

    request = request_of(claimed, args, kwargs, hostname="celery@host", is_zero_first=False)

    assert request["args"] == [datetime(2026, 11, 22, tzinfo=UTC)]
    assert request["kwargs"] == {"more": b"\x00"}
    assert [each["options"]["task_id"] for each in request["callbacks"]] == ["link"]
    assert [each["options"]["task_id"] for each in request["errbacks"]] == ["errback"]
    assert [each["options"]["task_id"] for each in request["chain"]] == ["next"]
    assert request["shadow"] == "alias"
    assert request["headers"]["tenant"] == "x"
    assert request["reply_to"] == "me"
    assert request["timelimit"] == [9, None]
    assert request["delivery_info"]["priority"] == 3
    assert request["retries"] == 1
    assert request["id"] == request["root_id"] == "mine"
    assert "callbacks" not in request["headers"]


def test_a_claimed_task_without_headers_has_an_empty_canvas() -> None:
    request = request_of(make_claimed("add"), [], {}, hostname="h", is_zero_first=True)

    assert [request[key] for key in ("callbacks", "errbacks", "chain", "chord")] == [None] * 4
    assert request["headers"] == {}


PLAIN = st.text(max_size=8) | st.integers() | st.booleans()


@given(
    priority=st.integers(0, 9),
    zero_first=st.booleans(),
    retries=st.integers(0, 100),
    limits=st.tuples(st.none() | st.floats(1, 1e6), st.none() | st.floats(1, 1e6)),
    headers=st.dictionaries(st.sampled_from(["shadow", "origin", "stamps", "x"]), PLAIN),
    moment=st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_a_row_that_is_sent_again_as_it_came_is_the_same_row(
    priority: int,
    zero_first: Any,
    retries: int,
    limits: Any,
    headers: dict[str, Any],
    moment: datetime | None,
) -> None:
    row = NewTask(
        id=TaskId("a"),
        name="add",
        arguments=codec.dump_arguments([1], {"b": 2}),
        queue="cpu",
        priority=priority,
        headers=codec.dump_typed(headers),
        expires_at=moment,
        timeout_seconds=limits[0],
        soft_timeout_seconds=limits[1],
        retries=retries,
        root_id="root",
        group_id="group",
        group_index=3,
    )
    request = request_of(
        claim_of(row), [1], {"b": 2}, hostname="celery@host", is_zero_first=zero_first
    )

    again = task_of_message(
        {**{key: request[key] for key in _SENT}, **request["headers"]},
        {"priority": request["delivery_info"]["priority"]},
        (request["args"], request["kwargs"], {}),
        queue=request["delivery_info"]["routing_key"],
        is_zero_first=zero_first,
        at_most_once=False,
    )

    assert again == row


# What Celery's `signature_from_request` and `retry` hand on of a request.
_SENT = (
    "id", "task", "retries", "timelimit", "expires", "root_id", "parent_id", "group",
    "group_index", "ignore_result",
)  # fmt: skip


# ---- canvases as Celery sends them: every id that a result names has a row


def _ids_of(result: Any) -> set[str]:
    """Return every id under a result of a canvas, its parents included."""
    found: set[str] = set()
    while result is not None:
        children = getattr(result, "results", None)
        if children is None:
            found.add(result.id)
        else:
            for each in children:
                found |= _ids_of(each)
        result = result.parent
    return found


CANVASES: dict[str, Callable[[Any], Any]] = {
    "chain": lambda s: chain(s(1), s(2), s(3)),
    "group": lambda s: group(s(1), s(2)),
    "chord": lambda s: chord([s(1), s(2)], s()),
    "chain in a group": lambda s: group(chain(s(1), s(2)), s(3)),
    "chain that ends in a group": lambda s: chain(s(1), group(s(2), s(3))),
    "group that becomes a chord": lambda s: chain(group(s(1), s(2)), s()),
    "chord in a chain": lambda s: chain(s(1), chord([s(2), s(3)], s()), s(4)),
    "chord of chains": lambda s: chord([chain(s(1), s(2)), chain(s(3), s(4))], s()),
    "chord with a chain as its body": lambda s: chord([s(1), s(2)], chain(s(), s(3))),
    "chord with a group as its body": lambda s: chord([s(1)], group(s(), s())),
    "chord in a chord": lambda s: chord([chord([s(1), s(2)], s()), s(3)], s()),
    "two groups in a row": lambda s: chain(group(s(1), s(2)), group(s(), s()), s()),
    "group of groups": lambda s: group(group(s(1), s(2)), group(s(3))),
    "chain of chains": lambda s: chain(chain(s(1), s(2)), chain(s(3), s(4))),
}


@pytest.mark.parametrize("kind", CANVASES)
def test_every_id_of_a_canvas_has_a_row_when_it_was_sent(
    app: Celery, road: KeptRoad, kind: str
) -> None:
    result = CANVASES[kind](app.tasks["add"].s).apply_async()

    assert _ids_of(result) <= road.by_id().keys()


@pytest.mark.parametrize("kind", CANVASES)
def test_every_waiting_row_of_a_canvas_hangs_on_a_row_or_a_chord(
    app: Celery, road: KeptRoad, kind: str
) -> None:
    CANVASES[kind](app.tasks["add"].s).apply_async()

    rows = road.by_id()
    known = rows.keys() | {chord.id for chord in road.chords}
    waiting = [each for each in rows.values() if each.is_waiting]
    assert {each.upstream_id for each in waiting} <= known
    assert all(each.upstream_id is None for each in rows.values() if not each.is_waiting)
    assert any(not each.is_waiting for each in rows.values())


@pytest.mark.parametrize("kind", CANVASES)
def test_no_row_of_a_canvas_waits_in_a_circle(app: Celery, road: KeptRoad, kind: str) -> None:
    CANVASES[kind](app.tasks["add"].s).apply_async()

    rows = road.by_id()
    for each in rows.values():
        seen: set[str] = set()
        upstream: NewTask | None = each
        while upstream is not None and upstream.upstream_id is not None:
            assert upstream.id not in seen
            seen.add(str(upstream.id))
            upstream = rows.get(upstream.upstream_id)


@pytest.mark.parametrize("kind", [each for each in CANVASES if "chord" in each])
def test_a_chord_counts_exactly_the_parts_that_carry_its_id(
    app: Celery, road: KeptRoad, kind: str
) -> None:
    CANVASES[kind](app.tasks["add"].s).apply_async()

    parts = [each.chord_id for each in road.by_id().values() if each.chord_id]
    for made in road.chords:
        assert made.size == parts.count(made.id)


def test_the_steps_of_a_chain_wait_one_for_the_other(
    app: Celery, road: KeptRoad, add: Callable[..., Signature]
) -> None:
    chain(add("a", 1), add("b", 2), add("c", 3, queue="cpu")).apply_async()

    rows = road.by_id()
    assert [rows[each].upstream_id for each in "abc"] == [None, "a", "b"]
    assert [rows[each].queue for each in "abc"] == ["default", "default", "cpu"]
    assert codec.load_arguments(rows["b"].arguments) == ([2], {})


def test_the_body_of_a_chord_waits_for_the_chord(
    app: Celery, road: KeptRoad, add: Callable[..., Signature]
) -> None:
    chord([add("a", 1), add("b", 2)], add("body")).apply_async()

    rows = road.by_id()
    (made,) = road.chords
    assert (rows["body"].is_waiting, rows["body"].upstream_id) == (True, made.id)
    assert rows["a"].chord_id == rows["b"].chord_id == made.id
    assert made.size == 2


def test_a_chord_is_known_before_the_first_task_of_its_header(
    app: Celery, add: Callable[..., Signature]
) -> None:
    order: list[str] = []

    class Ordered(KeptRoad):
        def submit(self, tasks: Any, chords: Any = ()) -> None:
            order.extend("chord" for _ in chords)
            order.extend(str(each.id) for each in tasks)

    before, app.celeriac.road = app.celeriac.road, Ordered()
    try:
        chord([add("a", 1), add("b", 2)], add("body")).apply_async()
    finally:
        app.celeriac.road = before

    assert order[:2] == ["chord", "body"]
    assert sorted(order[2:]) == ["a", "b"]


def test_a_frozen_group_has_a_row_for_each_member(add: Callable[..., Signature]) -> None:
    made = group(add("a", 1), add("b", 2))
    made.freeze()

    rows = placeholders(dict(made), upstream_id="before", queue="cpu")

    assert [each.id for each in rows] == ["a", "b"]
    assert {each.upstream_id for each in rows} == {"before"}
    assert {each.queue for each in rows} == {"cpu"}


def test_the_row_that_a_step_ends_with_comes_last(add: Callable[..., Signature]) -> None:
    made = chord([add("a", 1), add("b", 2)], chain(add("c"), add("d")))
    made.freeze()

    rows = placeholders(dict(made), upstream_id="before", queue="default")

    assert [each.id for each in rows] == ["a", "b", "c", "d"]
    assert rows[-1].upstream_id == "c"


def test_a_step_without_an_id_has_no_row(app: Celery) -> None:
    step = app.tasks["add"].s(1)

    assert placeholders(dict(step), upstream_id="before", queue="default") == ()


def test_a_task_without_a_chain_has_no_waiting_rows() -> None:
    assert chain_placeholders(_row_of()) == ()


# ---- the queue that a call means


@pytest.mark.parametrize(
    ("options", "queue"),
    [
        ({}, "default"),
        ({"queue": "cpu"}, "cpu"),
        # The default queue is a direct one, which hears to its own name only, as in Celery.
        ({"routing_key": "cpu"}, "default"),
    ],
)
def test_a_row_goes_to_the_queue_that_the_call_names(
    app: Celery, road: KeptRoad, options: dict[str, Any], queue: str
) -> None:
    app.tasks["add"].apply_async((1,), **options)

    assert road.tasks[0].queue == queue


@pytest.mark.parametrize(
    ("exchange", "routing_key", "queue"),
    [
        (None, None, "default"),
        # A queue that is bound so.
        ("default", "default", "default"),
        # The default exchange delivers to the queue that is called like the routing key.
        ("", "gpu", "gpu"),
        (None, "gpu", "gpu"),
        ("", None, "default"),
    ],
)
def test_a_message_without_a_queue_goes_where_its_routing_key_leads(
    app: Celery, exchange: str | None, routing_key: str | None, queue: str
) -> None:
    assert app.amqp._queue_name(None, exchange, routing_key) == queue


def test_a_broadcast_is_refused(app: Celery, road: KeptRoad) -> None:
    from kombu.common import Broadcast

    with pytest.raises(InvalidOptionError):
        app.tasks["add"].apply_async((1,), queue=Broadcast(f"all-{uuid4().hex}"))

    assert road.tasks == []
