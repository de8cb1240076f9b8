from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from celeriac.engine.contract import Contract
from celeriac.errors import FieldProblem, InvalidArgumentsError

pytestmark = pytest.mark.slow

Json = Any


class Colour(Enum):
    RED = "red"
    GREEN = 2


@dataclass
class Point:
    x: int
    seen_at: datetime


class Thumb(BaseModel):
    width: int = 256
    points: list[Point] = []
    taken_at: datetime | None = None


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    taken_at: datetime


def everything(
    number: int,
    ratio: float,
    text: str,
    raw: bytes,
    moment: datetime,
    day: date,
    hour: time,
    pause: timedelta,
    price: Decimal,
    key: UUID,
    colour: Colour,
    mode: Literal["fit", "fill"],
    point: Point,
    thumb: Thumb,
    names: list[str],
    pair: tuple[int, str],
    unique: set[int],
    table: dict[str, Decimal],
    maybe: int | None = None,
) -> Thumb:
    raise NotImplementedError


TEXT = st.text(st.characters(codec="utf-8"))
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.datetimes()
POINTS = st.builds(Point, x=st.integers(), seen_at=MOMENTS)
THUMBS = st.builds(
    Thumb,
    width=st.integers(),
    points=st.lists(POINTS, max_size=3),
    taken_at=st.none() | MOMENTS,
)
PRICES = st.decimals(allow_nan=False, allow_infinity=False)
CALLS = st.fixed_dictionaries(
    {
        "number": st.integers(),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "text": TEXT,
        "raw": st.binary(),
        "moment": MOMENTS,
        "day": st.dates(),
        "hour": st.times(),
        "pause": st.timedeltas(timedelta(days=-9999), timedelta(days=9999)),
        "price": PRICES,
        "key": st.uuids(),
        "colour": st.sampled_from(Colour),
        "mode": st.sampled_from(["fit", "fill"]),
        "point": POINTS,
        "thumb": THUMBS,
        "names": st.lists(TEXT),
        "pair": st.tuples(st.integers(), TEXT),
        "unique": st.sets(st.integers()),
        "table": st.dictionaries(TEXT, PRICES),
    },
    optional={"maybe": st.none() | st.integers()},
)

EVERYTHING = Contract.of(everything)


@given(CALLS)
def test_a_call_comes_back_from_its_json_as_it_was(call: dict[str, Any]) -> None:
    args, kwargs = EVERYTHING.dump([], call)

    assert EVERYTHING.bind(args, kwargs) == ([], call)


@given(CALLS)
def test_the_json_of_a_call_fits_the_strict_door(call: dict[str, Any]) -> None:
    _, kwargs = EVERYTHING.dump([], call)

    EVERYTHING.check(kwargs)


@given(CALLS)
def test_typed_values_are_bound_as_they_are(call: dict[str, Any]) -> None:
    assert EVERYTHING.bind([], call) == ([], call)


@given(CALLS, st.integers(0, 18))
def test_where_an_argument_stands_makes_no_difference(call: dict[str, Any], count: int) -> None:
    names = list(inspect.signature(everything).parameters)[:count]

    bound = EVERYTHING.bind(
        [call[name] for name in names], {n: v for n, v in call.items() if n not in names}
    )

    assert bound == ([], call)


@given(THUMBS)
def test_a_results_json_says_all_that_the_result_is(thumb: Thumb) -> None:
    assert Thumb.model_validate_json(to_json(EVERYTHING.dump_result(thumb))) == thumb


def resize(
    width: Annotated[int, Field(ge=16, le=4096, description="Pixels")] = 256,
    mode: Literal["fit", "fill"] = "fit",
) -> None: ...


def test_the_schema_says_what_the_hints_say() -> None:
    assert Contract.of(resize, name="image.resize").schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "image.resize",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "width": {
                "title": "Width",
                "description": "Pixels",
                "type": "integer",
                "minimum": 16,
                "maximum": 4096,
                "default": 256,
            },
            "mode": {"title": "Mode", "type": "string", "enum": ["fit", "fill"], "default": "fit"},
        },
    }


@pytest.mark.parametrize(
    ("kwargs", "problems"),
    [
        # A number out of bounds.
        ({"width": 1}, [("/width", "Input should be greater than or equal to 16")]),
        # A text that looks like a number is no number: the schema says integer.
        ({"width": "128"}, [("/width", "Input should be a valid integer")]),
        # Nor is a truth.
        ({"width": True}, [("/width", "Input should be a valid integer")]),
        # A word that is none of those allowed, and a name nobody knows, together.
        (
            {"mode": "crop", "size": 1},
            [
                ("/mode", "Input should be 'fit' or 'fill'"),
                ("/size", "no such argument"),
            ],
        ),
        # A name that a JSON pointer must escape.
        ({"a/b~c": 1}, [("/a~1b~0c", "no such argument")]),
        ({"widht": 128}, [("/widht", "no such argument; did you mean width?")]),
        # Half a character: no UTF-8 can hold it.
        ({"mode": "\ud800"}, [("", "not valid Unicode")]),
    ],
)
def test_a_wrong_argument_is_named(
    kwargs: dict[str, Json], problems: list[tuple[str, str]]
) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        Contract.of(resize).check(kwargs, "image.resize")

    assert caught.value.name == "image.resize"
    assert caught.value.problems == tuple(FieldProblem(*each) for each in problems)


def nested(thumb: Thumb, width: int | list[int]) -> None: ...


def test_a_problem_deep_inside_is_pointed_at() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        Contract.of(nested).check({"thumb": {"points": [{"x": 1}]}, "width": [1, "a"]})

    pointers = [each.pointer for each in caught.value.problems]
    assert pointers == ["/thumb/points/0/seen_at", "/width", "/width/1"]


def test_a_list_that_is_wrong_throughout_is_not_told_of_line_by_line() -> None:
    def total(numbers: list[int]) -> None: ...

    with pytest.raises(InvalidArgumentsError) as caught:
        Contract.of(total).check({"numbers": ["x"] * 5000})

    assert len(caught.value.problems) == 100


def add(x: int, /, y: int = 2, *more: int, schema: int = 4, **named: float) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "call"),
    [
        # Everything by name, as HTTP sends it: what has no name in Python goes by position.
        ([], {"x": 1, "y": 3}, ([1], {"y": 3})),
        # By position, as a chain sends it.
        (["1", "3"], {}, ([1], {"y": 3})),
        # More than there are names: the default in the middle stands where it must.
        ([], {"x": 1, "more": [7, 8]}, ([1, 2, 7, 8], {})),
        ([1, 3, "7"], {}, ([1, 3, 7], {})),
        # A name that pydantic needs for itself, and one of the function's own choosing.
        ([1], {"schema": "5", "weight": "1.5"}, ([1], {"schema": 5, "weight": 1.5})),
    ],
)
def test_arguments_go_where_the_function_wants_them(
    args: list[Any], kwargs: dict[str, Any], call: tuple[list[Any], dict[str, Any]]
) -> None:
    assert Contract.of(add).bind(args, kwargs) == call


def test_a_value_of_the_open_end_is_checked() -> None:
    contract = Contract.of(add)

    with pytest.raises(InvalidArgumentsError, match="weight: Input should be a valid number"):
        contract.check({"x": 1, "weight": "heavy"})
    assert contract.schema["additionalProperties"] == {"type": "number"}


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ([1, 2, 3], {}, "takes 2 positional arguments, 3 were given"),
        ([1], {"width": 2}, "width: given by position and by name"),
    ],
)
def test_an_argument_too_many_is_told_in_words(
    args: list[Any], kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgumentsError, match=said):
        Contract.of(resize).bind(args, kwargs)


def test_a_function_without_hints_takes_anything_and_keeps_it() -> None:
    def anything(x, when=None):  # type: ignore[no-untyped-def] # noqa: ANN202, RUF100
        raise NotImplementedError

    odd = object()

    bound = Contract.of(anything).bind([odd], {"when": MOMENT})

    assert bound == ([], {"x": odd, "when": MOMENT})


def test_none_is_taken_where_it_is_the_default() -> None:
    def old_style(x: int = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013

    assert Contract.of(old_style).bind([], {"x": None}) == ([], {"x": None})


def test_a_model_that_is_strict_takes_its_json_beside_a_typed_value() -> None:
    def both(exact: Exact, at: datetime) -> None: ...

    _, kwargs = Contract.of(both).bind(
        [], {"exact": {"taken_at": "2026-01-01T00:00:00Z"}, "at": MOMENT}
    )

    assert kwargs == {"exact": Exact(taken_at=MOMENT), "at": MOMENT}


def test_a_hint_that_cannot_be_checked_is_told_of_and_lets_everything_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Socket:
        pass

    def send(socket: Socket, name: Unknown, size: int) -> None: ...  # type: ignore[name-defined] # noqa: F821

    send.__annotations__["socket"] = Socket
    with caplog.at_level(logging.WARNING):
        contract = Contract.of(send)

    socket = Socket()
    assert contract.bind([socket, 1, "3"], {}) == ([], {"socket": socket, "name": 1, "size": 3})
    told = [(each.__dict__["parameter"], each.__dict__["hint"]) for each in caplog.records]
    assert told == [("socket", str(Socket)), ("name", "Unknown")]


def test_a_default_that_json_cannot_write_stays_out_of_the_schema() -> None:
    def keep(x: Any = object) -> None: ...

    contract = Contract.of(keep)

    assert contract.schema["properties"] == {"x": {"title": "X"}}
    assert contract.bind([], {}) == ([], {})


def test_the_task_itself_is_no_argument() -> None:
    def bound(self: object, x: int) -> None: ...

    assert list(Contract.of(bound, skip_first=True).schema["properties"]) == ["x"]


def test_what_cannot_be_json_is_not_dumped() -> None:
    def anything(x: Any) -> None: ...

    with pytest.raises(InvalidArgumentsError):
        Contract.of(anything).dump([object()], {})


def test_a_result_without_a_hint_keeps_what_typed_json_carries() -> None:
    def untyped() -> Any: ...

    result = {"at": MOMENT, "colours": (Colour.RED, {Colour.GREEN}), "thumb": Thumb(width=1)}

    dumped = Contract.of(untyped).dump_result(result)

    assert dumped == {
        "at": MOMENT,
        "colours": ("red", [2]),
        "thumb": {"width": 1, "points": [], "taken_at": None},
    }


def test_a_result_of_another_type_than_hinted_is_still_a_result() -> None:
    assert EVERYTHING.dump_result({"width": "wide"}) == {"width": "wide"}


def test_a_result_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(TypeError, match="everything"):
        EVERYTHING.dump_result(object())


def test_typed_values_that_do_not_fit_are_told_in_their_own_words() -> None:
    with pytest.raises(InvalidArgumentsError, match="width: Input should be a valid integer"):
        Contract.of(resize).bind([MOMENT], {})


def test_a_builtin_that_hides_its_signature_takes_anything() -> None:
    # `max` tells nobody what it takes.
    contract = Contract.of(max)

    assert contract.bind([1, 2], {"default": 3}) == ([1, 2], {"default": 3})


def test_what_is_taken_by_position_alone_may_be_left_out_at_the_end() -> None:
    def rounded(x: float, digits: int = 0, /) -> None: ...

    assert Contract.of(rounded).place({"x": 1.5}) == ([1.5], {})


def test_bytes_are_base64_as_a_result() -> None:
    def read() -> bytes:
        return b""

    assert Contract.of(read).dump_result(b"\xff\x00") == "_wA="
