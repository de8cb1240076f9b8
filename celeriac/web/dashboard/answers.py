"""What a form says once it was sent: pure functions.

Arguments out of texts; and the form once more, with what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from celeriac.errors import FieldProblem
from celeriac.files.file import A_FILE
from celeriac.web.dashboard.forms import MAY_BE_EMPTY, REST, Field, Kind
from celeriac.web.refusals import BrokenBodyError, InvalidBodyError
from celeriac.web.strict_json import parse_strict

Json = Any

# What is said of a field that must be given, and was left empty.
FORGOTTEN = "must be filled in"
# Characters of a field that a link may fill in; a link is to be read by a person.
MOST_PREFILLED = 1000
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")


def refill(
    fields: Sequence[Field], sent: Mapping[str, Sequence[str]], problems: Sequence[FieldProblem]
) -> tuple[Field, ...]:
    """Return the fields as they were sent, each with what is wrong with it."""
    wrong: dict[str, list[str]] = {}
    for problem in problems:
        wrong.setdefault(first_step(problem.pointer), []).append(told(problem))
    return tuple(
        _refilled(field, sent, problem="; ".join(wrong.get(field.name, ()))) for field in fields
    )


def _refilled(field: Field, sent: Mapping[str, Sequence[str]], *, problem: str) -> Field:
    if field.kind is Kind.FILE:
        # Nobody may put a file into somebody's form; it must be chosen again.
        return replace(field, problem=problem)
    text = "\n".join(sent.get(field.key, ()))
    return replace(
        field,
        value=text,
        problem=problem,
        is_empty_offered=field.may_be_empty and not text.strip(),
        is_empty_meant=field.empty_key in sent,
    )


def prefill(fields: Sequence[Field], asked: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the fields with what a link says stands in them: a proposal, submitted by nobody.

    Only what the task has a field for, and no file: nobody may put one into somebody's form. What
    is too long, or none of what may be chosen, is left out whole rather than changed.
    """
    return tuple(
        replace(field, value=asked[field.key])
        if field.key in asked and _may_stand(field, asked[field.key])
        else field
        for field in fields
    )


def _may_stand(field: Field, text: str) -> bool:
    if len(text) > MOST_PREFILLED or "\0" in text or field.name == REST:
        return False
    match field.kind:
        case Kind.FILE:
            return False
        case Kind.SWITCH:
            return text in ("on", "")
        case Kind.CHOICE:
            return text in [sent for sent, _ in field.options]
    return True


def first_step(pointer: str) -> str:
    """Return which argument a JSON pointer leads into; empty for all of them."""
    step = pointer.lstrip("/").partition("/")[0]
    return step.replace("~1", "/").replace("~0", "~")


def told(problem: FieldProblem) -> str:
    """Return what is wrong inside a field, with the place where it is deeper than the field."""
    place = ".".join(problem.pointer.split("/")[2:])
    # How it is sent is the browser's business.
    detail = problem.detail.replace(A_FILE, "choose a file")
    return f"{place}: {detail}" if place else detail


def with_others(
    unreadable: Sequence[FieldProblem], others: Sequence[FieldProblem]
) -> tuple[FieldProblem, ...]:
    """Return what is wrong with a form, all at once.

    What could not be read is also told as missing: one word about each field is enough. What is
    said of all of them together may only follow from one that could not be read.
    """
    told = {"", *(first_step(each.pointer) for each in unreadable)}
    return (*unreadable, *(each for each in others if first_step(each.pointer) not in told))


def arguments_from(
    fields: Sequence[Field], sent: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Json], tuple[FieldProblem, ...]]:
    """Return the arguments a form says, and the fields that cannot be read.

    What was left empty is left out, unless it must be given. Then it was forgotten, most often: an
    empty text, or a list without a line, is sent where that is ticked, too. Files are left out:
    they are no texts.
    """
    kwargs: dict[str, Json] = {}
    problems = []
    for field in fields:
        if field.kind is Kind.FILE:
            continue
        text = "\n".join(sent.get(field.key, ())).replace("\r\n", "\n")
        if _is_left_out(field, text):
            continue
        if _is_forgotten(field, text) and field.empty_key not in sent:
            problems.append(FieldProblem(pointer=_pointer(field.name), detail=FORGOTTEN))
            continue
        try:
            value = _read(field.kind, text, line_kind=field.line_kind)
        except ValueError as error:
            problems.append(FieldProblem(pointer=_pointer(field.name), detail=str(error)))
            continue
        if field.name != REST:
            kwargs[field.name] = value
        elif isinstance(value, dict):
            kwargs.update(value)
        else:
            problems.append(FieldProblem(pointer=_pointer(REST), detail="must be a JSON object"))
    return kwargs, tuple(problems)


def _is_left_out(field: Field, text: str) -> bool:
    if text.strip() or field.kind is Kind.SWITCH:
        return False
    return not field.is_required or field.kind not in MAY_BE_EMPTY


def _is_forgotten(field: Field, text: str) -> bool:
    if not field.is_required or field.kind not in MAY_BE_EMPTY:
        return False
    # Blanks are a text; to a list they are no line.
    return not (text.strip() if field.kind is Kind.LINES else text)


def _read(kind: Kind, text: str, *, line_kind: Kind) -> Json:
    match kind:
        case Kind.SWITCH:
            return text == "on"
        case Kind.WHOLE:
            return _whole(text.strip())
        case Kind.NUMBER:
            return _number(text.strip())
        case Kind.MOMENT:
            # A browser's field knows no zone; the page says that it is read as UTC.
            given = text.strip()
            return f"{given}Z" if _MOMENT.fullmatch(given) else given
        case Kind.DATE | Kind.TIME:
            return text.strip()
        case Kind.LINES:
            lines = [line.strip() for line in text.split("\n") if line.strip()]
            return [_line(line_kind, line, number) for number, line in enumerate(lines, 1)]
        case Kind.JSON | Kind.CHOICE:
            return _json(text)
        case Kind.ANY:
            try:
                return _json(text)
            except ValueError:
                return text
    return text


def _line(kind: Kind, line: str, number: int) -> Json:
    try:
        return _read(kind, line, line_kind=Kind.TEXT)
    except ValueError as error:
        raise ValueError(f"line {number} {error}") from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _number(text: str) -> float | int:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("must be a number")
    return number


def _json(text: str) -> Json:
    try:
        return parse_strict(text.encode("utf-8", errors="surrogatepass"))
    except (BrokenBodyError, InvalidBodyError) as error:
        why = str(error) if isinstance(error, InvalidBodyError) else "must be JSON"
        raise ValueError(why) from None


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
