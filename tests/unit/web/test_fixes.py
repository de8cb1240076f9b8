from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac.core.state import TaskState
from celeriac.errors import (
    CeleriacError,
    CommitInDoubtError,
    InvalidArgumentsError,
    LedgerUnavailableError,
    NotPermittedError,
    RateLimitedError,
    TaskAlreadyFinalError,
    TaskNameNotFoundError,
    TaskNotFoundError,
)
from celeriac.web.dashboard.fixes import page_detail, page_fix, way_on
from celeriac.web.fixes import _FIXES, fix_for
from celeriac.web.problems import status_of
from celeriac.web.refusals import BodyTooLargeError, FlowerRefusedError, MediaTypeError


def leaves(kind: type[CeleriacError]) -> Iterator[type[CeleriacError]]:
    """Every error that is raised itself: one without others below it."""
    below = kind.__subclasses__()
    for each in below:
        yield from leaves(each)
    if not below:
        yield kind


def test_every_error_that_a_caller_may_meet_says_what_helps() -> None:
    # These say it case by case.
    by_case = (MediaTypeError, FlowerRefusedError)
    met = [each for each in leaves(CeleriacError) if status_of(each.__new__(each)) != 500]

    silent = [
        each.__name__
        for each in met
        if not each.fix and not issubclass(each, (*by_case, *(kind for kind, _ in _FIXES)))
    ]

    assert len(met) > 30
    assert silent == []


def test_no_error_says_what_helps_in_two_places() -> None:
    assert [kind.__name__ for kind, _ in _FIXES if kind.fix] == []


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (InvalidArgumentsError("shop.order", ()), "GET /task-types/shop.order says what it takes"),
        (
            TaskAlreadyFinalError("t-1", TaskState.FAILED),
            "POST /tasks/t-1/retry runs it again, as a new task",
        ),
        (NotPermittedError("operate"), "with the right operate"),
        # one that knows the case itself
        (TaskNameNotFoundError("x", question="did you mean y?"), "did you mean y?"),
        (CommitInDoubtError("lost"), CommitInDoubtError.fix),
    ],
)
def test_what_helps_names_the_facts(error: CeleriacError, fix: str) -> None:
    assert fix in fix_for(error)


@pytest.mark.parametrize(
    "error",
    [
        TaskNotFoundError("x"),
        NotPermittedError("submit"),
        LedgerUnavailableError("x"),
        CommitInDoubtError("x"),
        BodyTooLargeError(1),
        MediaTypeError("Content-Type", "application/json"),
    ],
)
def test_what_helps_on_a_page_is_no_call_and_no_header(error: CeleriacError) -> None:
    fix = page_fix(error)

    assert fix
    assert not any(word in fix for word in ("GET", "POST", "Content-Type", "Idempotency-Key"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RateLimitedError(timedelta(minutes=20)), "Too many requests; try again in 20 min"),
        (BodyTooLargeError(20 * 2**20), "More was sent than the 20 MiB that are taken here; no"),
        (TaskNotFoundError("x"), "no task has the id x"),
    ],
)
def test_a_page_tells_of_bounds_in_the_units_of_people(error: CeleriacError, told: str) -> None:
    assert page_detail(error).startswith(told)


@pytest.mark.parametrize(
    ("method", "path", "status", "url", "text"),
    [
        ("POST", "/ui/tasks/t-1/cancel", 403, "/ui/tasks/t-1", "Back to the task"),
        ("POST", "/ui/tasks/t-1/again", 429, "/ui/tasks/t-1", "Back to the task"),
        # there is no such page
        ("POST", "/ui/tasks/t-1/again", 404, "/ui/tasks", "To your tasks"),
        ("POST", "/ui/submit/x", 413, "/ui/submit/x", "Begin again"),
        ("POST", "/ui/sign-in", 429, "/ui/sign-in", "Back to the form"),
        ("GET", "/ui/tasks", 503, "/ui/tasks?state=failed", "Try again"),
        ("GET", "/nothing", 404, "/ui/tasks", "To your tasks"),
    ],
)
def test_a_refusal_leads_on(method: str, path: str, status: int, url: str, text: str) -> None:
    on = way_on(method, path, "state=failed", status=status, is_signed_in=True)

    assert (on.url, on.text) == (url, text)


def test_a_stranger_is_led_to_the_sign_in() -> None:
    assert way_on("GET", "/x", "", status=404, is_signed_in=False).text == "To the sign-in page"
