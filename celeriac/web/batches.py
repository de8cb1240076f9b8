"""A batch of tasks as it is sent, and the answer to it: pure, and quick for a thousand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from celeriac.core.acceptance import TaskOutcome, problems_of
from celeriac.core.state import TaskState
from celeriac.errors import CeleriacError, FieldProblem, InvalidRequestError
from celeriac.service.submission import SubmitOptions, SubmitRequest
from celeriac.web.bodies import parse_object
from celeriac.web.fixes import fix_for
from celeriac.web.problems import field_problems, problem_body, status_of
from celeriac.web.queries import BatchOptions
from celeriac.web.refusals import InvalidBodyError
from celeriac.web.schemas import Problem, Status, status_word

Json = Any

PATH = "/tasks:batch"
MOST_TASKS = 1000
_NO_OPTIONS = SubmitOptions()
_NOTHING: dict[str, Json] = {}
_FIELDS = {"name", "arguments", "options"}
_WORDS = {each: (status_word(each), each.value) for each in TaskState}

# What a batch is, for the document; each task is read by hand below.
SCHEMA: dict[str, Json] = {
    "type": "object",
    "title": "Batch",
    "required": ["tasks"],
    "additionalProperties": False,
    "properties": {
        "tasks": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_TASKS,
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "description": "The task's name."},
                    "arguments": {"type": "object", "description": "Its named arguments."},
                    "options": BatchOptions.model_json_schema(),
                },
            },
        }
    },
}


class OutcomeOut(BaseModel):
    """What became of one task of a batch."""

    task_id: Annotated[str | None, Field(description="The task's id, if it was accepted.")]
    status: Status | None
    state: TaskState | None
    problem: Annotated[Problem | None, Field(description="Why it was not accepted.")]


class BatchOut(BaseModel):
    """What became of a batch."""

    accepted: Annotated[int, Field(description="How many of its tasks are kept and will run.")]
    refused: int
    outcomes: Annotated[
        list[OutcomeOut], Field(description="Of each task, in the order of the request.")
    ]


def requests_of(body: bytes) -> list[SubmitRequest | InvalidRequestError]:
    """Return the requests in the body of a batch; an error stands for one that cannot be read.

    Raises:
        BrokenBodyError: It is no JSON.
        InvalidBodyError: It is no batch, or one of none or too many tasks.
    """
    value = parse_object(body)
    tasks = value.get("tasks")
    problems = [
        FieldProblem(pointer=f"/{name}", detail="there is no such field")
        for name in value.keys() - {"tasks"}
    ]
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= MOST_TASKS:
        problems.append(
            FieldProblem(pointer="/tasks", detail=f"must be an array of 1 to {MOST_TASKS} tasks")
        )
    if problems or not isinstance(tasks, list):
        raise InvalidBodyError(*problems)
    return [_request_of(each) for each in tasks]


def batch_text(outcomes: Sequence[TaskOutcome]) -> str:
    """Return the body that answers a batch."""
    listed = [_outcome(each) for each in outcomes]
    refused = sum(isinstance(each, CeleriacError) for each in outcomes)
    answer = {
        "accepted": len(outcomes) - refused,
        "refused": refused,
        "outcomes": listed,
    }
    return orjson.dumps(answer).decode()


def _request_of(value: Json) -> SubmitRequest | InvalidRequestError:
    if not isinstance(value, dict):
        return InvalidBodyError(FieldProblem(pointer="", detail="must be an object"))
    problems = _problems_in(value)
    if problems:
        return InvalidBodyError(*problems)
    given = value.get("options")
    try:
        options = _options_of(_written(given)) if given else _NO_OPTIONS
    except InvalidBodyError as error:
        return error
    return SubmitRequest(name=value["name"], kwargs=value.get("arguments", {}), options=options)


def _problems_in(value: dict[str, Json]) -> list[FieldProblem]:
    problems = [
        FieldProblem(pointer=f"/{field}", detail="must be an object")
        for field in ("arguments", "options")
        if not isinstance(value.get(field, _NOTHING), dict)
    ]
    if not isinstance(value.get("name"), str):
        problems.append(FieldProblem(pointer="/name", detail="must be a text"))
    if not value.keys() <= _FIELDS:
        problems += [
            FieldProblem(pointer=f"/{field}", detail="there is no such field")
            for field in sorted(value.keys() - _FIELDS)
        ]
    return problems


def _written(options: dict[str, Json]) -> bytes:
    try:
        return orjson.dumps(options)
    # It knows no number of more than 64 bits.
    except TypeError:
        return json.dumps(options).encode()


# Most tasks of a batch are to be run in the same way.
@lru_cache(maxsize=256)
def _options_of(text: bytes) -> SubmitOptions:
    try:
        return BatchOptions.model_validate_json(text, strict=True).to_options()
    except ValidationError as error:
        found = field_problems([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])
        problems = [FieldProblem(f"/options{each.pointer}", each.detail) for each in found]
        raise InvalidBodyError(*problems) from None


def _outcome(outcome: TaskOutcome) -> dict[str, Json]:
    if isinstance(outcome, CeleriacError):
        return {"task_id": None, "status": None, "state": None, "problem": _problem(outcome)}
    status, state = _WORDS[outcome.state]
    return {"task_id": outcome.id, "status": status, "state": state, "problem": None}


def _problem(error: CeleriacError) -> dict[str, Json]:
    return problem_body(
        status_of(error),
        code=error.code,
        detail=str(error),
        instance=PATH,
        fix=fix_for(error),
        errors=problems_of(error),
    )
