"""What pydantic found wrong, in the words of our own errors."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from celeriac.errors import FieldProblem

# A list of 100,000 wrong numbers is one mistake; nobody reads further than this.
MOST_PROBLEMS = 100


def list_problems(error: ValidationError, fields: dict[str, Any]) -> tuple[FieldProblem, ...]:
    """Return what is wrong with which field, in the order in which it was found.

    Args:
        error: What pydantic says.
        fields: The named arguments it was said of.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    problems = (FieldProblem(_pointer(each, fields), each["msg"]) for each in details)
    # The members of a union complain one by one, often in the same words.
    return tuple(dict.fromkeys(problems))[:MOST_PROBLEMS]


def to_pointer(*steps: str | int) -> str:
    """Return a JSON pointer (RFC 6901) from its steps."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def _pointer(detail: ErrorDetails, fields: dict[str, Any]) -> str:
    place: Any = fields
    steps: list[str | int] = []
    last = len(detail["loc"]) - 1
    for index, step in enumerate(detail["loc"]):
        if _leads_on(place, step):
            place = place[step]
            steps.append(step)
        elif index == last and detail["type"] == "missing":
            steps.append(step)
        # Otherwise it is the member of a union that pydantic tried: no step of the body's.
    return to_pointer(*steps)


def _leads_on(place: Any, step: str | int) -> bool:
    if isinstance(place, dict):
        return step in place
    return isinstance(place, list | tuple) and isinstance(step, int) and step < len(place)
