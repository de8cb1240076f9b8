from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from celeriac.client.problems import error_from_answer, retry_after
from celeriac.errors import (
    AccessError,
    CeleriacError,
    FieldProblem,
    InvalidArgumentsError,
    InvalidRequestError,
    LedgerUnavailableError,
    NotFoundError,
    NotPermittedError,
    RateLimitedError,
    TaskNotFoundError,
    UnavailableError,
)


def error_for(
    status: int, code: str, *, headers: dict[str, str] | None = None, **fields: Any
) -> CeleriacError:
    problem = {"status": status, "code": code, "detail": "so it is", **fields}
    return error_from_answer(status, headers or {}, json.dumps(problem), facts={"task_id": "t1"})


def test_a_problem_becomes_the_class_of_its_code_with_the_services_sentence() -> None:
    error = error_for(404, "task_not_found", fix="look again")

    assert isinstance(error, TaskNotFoundError)
    assert (str(error), error.fix, error.task_id) == ("so it is", "look again", "t1")
    # Whoever lets it end the script reads it under the traceback.
    assert error.__notes__ == ["fix: look again"]


def test_the_problems_of_single_fields_are_kept() -> None:
    error = error_for(422, "invalid_arguments", errors=[{"pointer": "/n", "detail": "too small"}])

    assert isinstance(error, InvalidArgumentsError)
    assert error.problems == (FieldProblem("/n", "too small"),)


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (404, NotFoundError),
        (413, InvalidRequestError),
        (503, UnavailableError),
        (403, AccessError),
        # Nobody knows what this is, but it is no success.
        (418, CeleriacError),
    ],
)
def test_a_code_of_a_newer_service_becomes_its_family(
    status: int, family: type[CeleriacError]
) -> None:
    error = error_for(status, "from_the_future")

    assert type(error) is family
    assert error.code == "from_the_future"


@pytest.mark.parametrize("text", ["<html>Bad gateway</html>", "", "[]", "null"])
def test_an_answer_that_is_no_problem_is_told_by_its_status(text: str) -> None:
    error = error_from_answer(502, {}, text, facts={})

    assert type(error) is CeleriacError
    assert "502" in str(error)


def test_the_right_that_is_missing_is_named() -> None:
    challenge = 'Bearer realm="celeriac", error="insufficient_scope", scope="operate"'

    error = error_for(403, "not_permitted", headers={"www-authenticate": challenge})

    assert isinstance(error, NotPermittedError)
    assert error.scope == "operate"


def test_the_pause_that_is_asked_for_is_kept() -> None:
    limited = error_for(429, "rate_limited", headers={"retry-after": "7"})
    away = error_for(503, "ledger_unavailable", headers={"retry-after": "2"})

    assert isinstance(limited, RateLimitedError)
    assert limited.retry_after == timedelta(seconds=7)
    assert isinstance(away, LedgerUnavailableError)
    assert away.__dict__["retry_after"] == timedelta(seconds=2)


@pytest.mark.parametrize("text", ["", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1.5", "²"])
def test_a_pause_that_is_no_number_of_seconds_is_none(text: str) -> None:
    assert retry_after({"retry-after": text}) is None
