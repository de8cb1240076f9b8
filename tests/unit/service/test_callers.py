from __future__ import annotations

from itertools import pairwise

import pytest

from celeriac.core.user import Role
from celeriac.errors import NotPermittedError
from celeriac.service.callers import SCOPES, Caller, Scope
from tests.fakes import make_caller, make_task, make_user


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.VIEWER, {"read"}),
        (Role.SUBMITTER, {"read", "submit"}),
        (Role.OPERATOR, {"read", "submit", "operate"}),
        (Role.ADMIN, {"read", "submit", "operate", "admin"}),
    ],
)
def test_a_role_has_its_rights_and_no_other(role: Role, scopes: set[str]) -> None:
    caller = Caller.from_user(make_user(role=role))

    assert {scope.value for scope in caller.scopes} == scopes


def test_a_role_may_all_that_the_ones_below_it_may() -> None:
    assert all(SCOPES[lower] < SCOPES[higher] for lower, higher in pairwise(Role))


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (Role.VIEWER, False),
        (Role.SUBMITTER, False),
        (Role.OPERATOR, True),
        (Role.ADMIN, True),
    ],
)
def test_a_stranger_sees_a_task_only_from_operator_upwards(role: Role, *, sees: bool) -> None:
    stranger = make_caller("eve", role)

    assert stranger.sees(make_task(submitted_by="ada")) is sees
    assert stranger.sees(make_task(submitted_by=None)) is sees


def test_a_caller_sees_their_own_task_whatever_their_role() -> None:
    task = make_task(submitted_by="ada")

    assert all(make_caller("ada", role).sees(task) for role in Role)


def test_a_missing_right_is_named() -> None:
    viewer = make_caller("eve", Role.VIEWER)

    with pytest.raises(NotPermittedError, match="submit") as caught:
        viewer.require(Scope.SUBMIT)

    assert caught.value.scope == "submit"
