from __future__ import annotations

from typing import Any

import pytest

from celeriac.core.acceptance import Submission, WantedTask
from celeriac.core.task import Arguments, TaskId, Twin
from celeriac.core.user import Role
from celeriac.errors import InvalidArgumentsError, NotPermittedError, TaskNameNotFoundError
from celeriac.service.callers import Caller
from celeriac.service.checking import Checking
from celeriac.service.singles import Single, Singles
from celeriac.service.submission import SubmitOptions, SubmitRequest
from tests.fakes import NOON, ListedCatalogue, make_caller, process_type

ADA = make_caller("ada")
EVE = make_caller("eve")
VIEWER = make_caller("vic", Role.VIEWER)
OPTIONS = SubmitOptions(priority=7)


class RudeCatalogue(ListedCatalogue):
    """One of whose tasks has a validator that fails in a way of its own."""

    def validate(self, name: str, kwargs: dict[str, Any], **more: Any) -> Arguments:
        if kwargs.get("data") == "boom":
            raise ZeroDivisionError
        return super().validate(name, kwargs, **more)


@pytest.fixture
def singles() -> Singles:
    return Singles(Checking(RudeCatalogue(process_type()), now=lambda: NOON))


def single(task_id: str, data: Any = "x", name: str = "process") -> Single:
    return Single(SubmitRequest(name=name, kwargs={"data": data}, options=OPTIONS), TaskId(task_id))


def wanted(made: Submission | Exception) -> Twin | WantedTask:
    assert isinstance(made, Submission)
    (found,) = made.tasks
    assert isinstance(found, Twin | WantedTask)
    return found


def test_one_alone_is_a_task_with_every_fact_of_its_own(singles: Singles) -> None:
    (made,) = singles.make([(single("a"), ADA)])

    found = wanted(made)
    assert isinstance(found, WantedTask)
    assert (found.task.id, found.task.root_id, found.task.priority) == ("a", "a", 7)


def test_those_of_one_caller_that_are_alike_are_twins(singles: Singles) -> None:
    asked: list[tuple[Single, Caller]] = [
        (single("a", "1"), ADA),
        (single("b", "2"), EVE),
        (single("c", "3"), ADA),
    ]

    tasks = [wanted(each) for each in singles.make(asked)]

    a, b, c = (each.to_new_task() for each in tasks if isinstance(each, Twin))
    assert [(each.id, each.submitted_by) for each in (a, b, c)] == [
        ("a", "ada"),
        ("b", "eve"),
        ("c", "ada"),
    ]
    assert [each.arguments.text for each in (a, b, c)] == [
        '[[], {"data": "1"}]',
        '[[], {"data": "2"}]',
        '[[], {"data": "3"}]',
    ]
    assert {(each.priority, each.root_id == each.id) for each in (a, b, c)} == {(7, True)}


def test_each_is_refused_for_itself(singles: Singles) -> None:
    asked = [
        (single("a"), ADA),
        (single("b", 7), ADA),
        (single("c"), VIEWER),
        (single("d", name="nothing"), ADA),
        (single("e", 7), VIEWER),
        (single("f"), ADA),
    ]

    made = singles.make(asked)

    assert [each if isinstance(each, Submission) else type(each) for each in made] == [
        made[0],
        InvalidArgumentsError,
        NotPermittedError,
        TaskNameNotFoundError,
        # What is wrong is told only to those who may ask.
        NotPermittedError,
        made[5],
    ]


def test_a_validator_that_fails_by_itself_fails_no_neighbour(singles: Singles) -> None:
    asked = [(single("a"), ADA), (single("b", "boom"), ADA), (single("c"), ADA)]

    a, b, c = singles.make(asked)

    assert isinstance(b, ZeroDivisionError)
    assert isinstance(a, Submission)
    assert isinstance(c, Submission)
