from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.core.outcome import Ending, NewChord, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import NewTask, Task, TaskError, TaskId
from celeriac.engine.pool import wire

# The edges of the app let no lone surrogate in: no JSON on the wire could carry one.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(min_value=0, max_value=2**53),
    float: st.floats(min_value=0, max_value=10**8),
    datetime: st.datetimes(timezones=st.just(UTC)),
    type(None): st.none(),
}


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type that the core's values are made of."""
    hint = getattr(hint, "__supertype__", hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_args(hint):
        return st.one_of(*map(_values, get_args(hint)))
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    fields = get_type_hints(hint)
    return st.builds(hint, **{name: _values(each) for name, each in fields.items()})


BUILDERS: list[tuple[type[Any], Callable[[Any], Any]]] = [
    (NewTask, wire.new_task),
    (NewChord, wire.new_chord),
    (Outcome, wire.outcome),
    (Task, wire.task),
]


def _travel(value: Any) -> Any:
    (message,) = wire.Unpacker().feed(wire.pack(["x", value]))
    return message[1]


@settings(max_examples=25)
@pytest.mark.parametrize(("kind", "build"), BUILDERS)
@given(data=st.data())
def test_a_value_of_the_core_comes_over_the_wire_as_it_went(
    kind: type[Any], build: Callable[[Any], Any], data: st.DataObject
) -> None:
    value = data.draw(_values(kind))

    arrived = build(_travel(value))

    assert arrived == value
    assert type(arrived) is kind


def test_an_outcome_arrives_with_the_cores_own_words() -> None:
    outcome = Outcome(
        task_id=TaskId("a"),
        lease_token="lease",
        ending=Ending.FAILED,
        finished_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        error=TaskError(kind=ErrorKind.TIMEOUT, message="too \x00 long 🎄"),
    )

    arrived = wire.outcome(_travel(outcome))

    assert arrived.ending is Ending.FAILED
    assert arrived.error is not None
    assert arrived.error.kind is ErrorKind.TIMEOUT
    assert arrived.error.message == "too \x00 long 🎄"
    assert arrived.finished_at.tzinfo is not None


@pytest.mark.parametrize(
    "changes",
    [
        # A word the core does not have.
        {"ending": "vanished"},
        # A field it does not have.
        {"is_admin": True},
    ],
)
def test_a_child_can_say_nothing_the_core_has_no_word_for(changes: Any) -> None:
    outcome = Outcome(
        task_id=TaskId("a"),
        lease_token="lease",
        ending=Ending.LOST,
        finished_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
    )

    with pytest.raises((TypeError, KeyError)):
        wire.outcome({**_travel(outcome), **changes})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=5), st.data())
def test_messages_survive_a_cut_at_any_byte(messages: list[Any], data: st.DataObject) -> None:
    stream = b"".join(wire.pack(each) for each in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    unpacker = wire.Unpacker()

    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += unpacker.feed(stream[start:end])

    assert arrived == messages


def test_messages_that_come_byte_by_byte_are_whole_when_their_last_byte_is_there() -> None:
    unpacker = wire.Unpacker()
    stream = wire.pack(["one"]) + wire.pack(["two"])

    arrived = [unpacker.feed(bytes([each])) for each in stream]

    assert [each for each in arrived if each] == [[["one"]], [["two"]]]
    assert arrived[-1] == [["two"]]


@pytest.mark.parametrize(
    "data",
    [
        # The rest of a frame whose beginning nobody wrote.
        b'"progress","task-1"]',
        # Half a frame, and a whole one after it.
        wire.pack(["done", "x"])[:8] + wire.pack(["done", "x"]),
        wire._LENGTH.pack(2) + b"\xff\xff",
    ],
)
def test_what_is_no_frame_is_told(data: bytes) -> None:
    with pytest.raises(wire.GarbledError):
        wire.Unpacker().feed(data)
