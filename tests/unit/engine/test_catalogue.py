from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery

from celeriac import task
from celeriac.core.task import Arguments, Codec
from celeriac.core.task_type import TaskType
from celeriac.engine.catalogue import Catalogue
from celeriac.errors import InvalidArgumentsError, TaskNameNotFoundError
from tests.engines import plain_app


@task(name="catalogue.typed", queue="cpu", retries=2, timeout=timedelta(seconds=30))
def typed(x: int, *rest: int) -> int:
    """Add some numbers.

    Negative ones too.
    """
    return x + sum(rest)


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
    if name == "catalogue.picky":
        return {"queue": kwargs["queue"]}
    return {"queue": "routed"} if name == "catalogue.routed" else None


@pytest.fixture
def app() -> Iterator[Celery]:
    with plain_app() as made:
        made.conf.update(task_default_queue="default", task_routes=[route])

        @made.task(
            shared=False,
            name="catalogue.plain",
            bind=True,
            autoretry_for=(OSError,),
            soft_time_limit=7,
        )
        def plain(self: Any, x: int, y: int = 2) -> None: ...

        @made.task(shared=False, name="catalogue.routed")
        def routed() -> None: ...

        @made.task(shared=False, name="catalogue.picky")
        def picky(queue) -> None: ...  # type: ignore[no-untyped-def]

        @made.task(shared=False, name="celeriac.inside")
        def inside() -> None: ...

        yield made


@pytest.fixture
def catalogue(app: Celery) -> Catalogue:
    return Catalogue(app)


def test_the_catalogue_names_what_may_be_submitted(catalogue: Catalogue) -> None:
    names = [name for name in catalogue.names() if name.startswith(("cat", "cel"))]

    assert names == ["catalogue.picky", "catalogue.plain", "catalogue.routed", "catalogue.typed"]


def test_a_typed_task_is_described(catalogue: Catalogue) -> None:
    described = catalogue.describe("catalogue.typed")

    assert described == TaskType(
        name="catalogue.typed",
        title="Add some numbers",
        description="Negative ones too.",
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "catalogue.typed",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "x": {"title": "X", "type": "integer"},
                "rest": {
                    "title": "Rest",
                    "type": "array",
                    "items": {"type": "integer"},
                    "default": [],
                },
            },
            "required": ["x"],
        },
        queue="cpu",
        max_attempts=3,
        timeout_seconds=30,
    )
    assert described in catalogue.list_task_types()


def test_a_plain_celery_task_is_described_from_its_hints(catalogue: Catalogue) -> None:
    described = catalogue.describe("catalogue.plain")

    assert list(described.schema["properties"]) == ["x", "y"]
    assert described.title == ""
    assert (described.queue, described.max_attempts) == ("default", 4)
    assert described.timeout_seconds == 7


def test_a_route_decides_the_queue_when_the_task_does_not(catalogue: Catalogue) -> None:
    assert catalogue.describe("catalogue.routed").queue == "routed"


def test_a_router_that_wants_arguments_costs_nobody_the_description(catalogue: Catalogue) -> None:
    assert catalogue.describe("catalogue.picky").queue == "default"


def test_arguments_that_fit_are_kept_as_plain_json(catalogue: Catalogue) -> None:
    arguments = catalogue.validate("catalogue.plain", {"x": 1})

    assert arguments == Arguments(codec=Codec.JSON, text='[[],{"x":1}]')


def test_arguments_without_a_name_in_python_are_kept_by_position(catalogue: Catalogue) -> None:
    arguments = catalogue.validate("catalogue.typed", {"x": 1, "rest": [2, 3]})

    assert json.loads(arguments.text) == [[1, 2, 3], {}]


def test_arguments_that_do_not_fit_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        catalogue.validate("catalogue.plain", {"y": "a"})

    assert [each.pointer for each in caught.value.problems] == ["/x", "/y"]


def test_many_are_checked_as_each_alone_is(catalogue: Catalogue) -> None:
    file = {"celeriac_file": "0" * 32}
    for name in ("catalogue.plain", "catalogue.typed", "catalogue.picky"):
        given: list[dict[str, Any]] = [
            {"x": 1},
            {"x": "1"},
            {"x": 1, "y": 2**70},
            {"x": 1, "y": 1.5, "z": None},
            {"x": 1, "rest": [2]},
            {"queue": ["grüß 🙂", {"deep": [1e300, True]}]},
            {"queue": [file]},
            {},
        ]

        # One that is too long for a quick look sends all of them the other way.
        for many in (given, [each for each in given if each.get("y") != 2**70]):
            assert list(map(told, catalogue.validate_many(name, many))) == [
                told(alone(catalogue, name, each)) for each in many
            ]


def alone(
    catalogue: Catalogue, name: str, kwargs: dict[str, Any]
) -> Arguments | InvalidArgumentsError:
    try:
        return catalogue.validate(name, kwargs)
    except InvalidArgumentsError as error:
        return error


def told(checked: Arguments | InvalidArgumentsError) -> Any:
    if isinstance(checked, InvalidArgumentsError):
        return str(checked), checked.problems
    return checked.codec, json.loads(checked.text)


def test_many_of_a_name_that_may_not_be_submitted_are_not_found(catalogue: Catalogue) -> None:
    with pytest.raises(TaskNameNotFoundError):
        catalogue.validate_many("celeriac.inside", [{}])


@pytest.mark.parametrize("name", ["nobody", "celery.backend_cleanup", "celeriac.inside", ""])
def test_a_name_that_may_not_be_submitted_is_not_found(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(TaskNameNotFoundError):
        catalogue.validate(name, {})


def test_a_contract_is_read_once(catalogue: Catalogue) -> None:
    first = catalogue.describe("catalogue.plain")

    assert catalogue.describe("catalogue.plain").schema is first.schema
