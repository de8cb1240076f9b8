from __future__ import annotations

import inspect
from http import HTTPStatus

import pytest

from celeriac import errors
from celeriac.errors import CeleriacError, FieldProblem
from celeriac.web import refusals
from celeriac.web.problems import field_problems, status_of

FAMILIES = {
    errors.InvalidRequestError: 422,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.UnavailableError: 503,
    errors.NotAuthenticatedError: 401,
    errors.NotPermittedError: 403,
    errors.RateLimitedError: 429,
}


def every_error() -> list[type[CeleriacError]]:
    return [
        value
        for module in (errors, refusals)
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, CeleriacError)
    ]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_has_the_status_of_its_family(kind: type[CeleriacError]) -> None:
    expected = next(
        (status for family, status in FAMILIES.items() if issubclass(kind, family)), None
    )

    status = status_of(kind.__new__(kind))

    assert status == (expected or status)
    assert HTTPStatus(status)


def test_a_broken_setting_is_no_callers_business() -> None:
    assert status_of(errors.SettingsError("A", "b", "c")) == 500


def test_a_parameter_is_named_without_the_validators_words() -> None:
    found = field_problems(
        [
            {"type": "int_parsing", "loc": ("query", "limit", "constrained-int"), "msg": "no int"},
            {"type": "none_required", "loc": ("query", "limit", "none"), "msg": "not none"},
            {"type": "too_short", "loc": ("query", "tag", 2), "msg": "short"},
            {"type": "value_error", "loc": ("query", "a/b~c"), "msg": "Value error, is bad"},
            {"type": "extra_forbidden", "loc": ("query", "what"), "msg": "Extra inputs"},
            {"type": "extra_forbidden", "loc": ("query", "what"), "msg": "Extra inputs"},
        ]
    )

    assert found == (
        FieldProblem("/limit", "no int"),
        FieldProblem("/tag/2", "short"),
        FieldProblem("/a~1b~0c", "is bad"),
        FieldProblem("/what", "there is no such parameter"),
    )
