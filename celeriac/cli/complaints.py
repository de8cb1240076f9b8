"""What went wrong, why, and what helps: three lines and an exit code for every error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.cli.fixes import fix_for
from celeriac.errors import (
    AccessError,
    BrokerUnavailableError,
    CeleriacError,
    DataFolderInUseError,
    FieldProblem,
    InvalidArgumentsError,
    InvalidRequestError,
    LedgerUnavailableError,
    NotFoundError,
    NotSignedInError,
    RateLimitedError,
    SettingsError,
    TaskFailedError,
    UnavailableError,
    WaitTimeoutError,
)

_FILE_FIX = "see that it is there, that you may use it and that the disk has room"
_UNEXPECTED_FIX = "this is a mistake of ours; CELERIAC_LOG_LEVEL=debug shows where it happened"

# What the shell gets, and what was not done, for each family; the first that fits counts.
_FAMILIES: tuple[tuple[type[CeleriacError], int, str], ...] = (
    (DataFolderInUseError, 2, "not started"),
    (NotSignedInError, 4, "no service to ask"),
    (RateLimitedError, 4, "not now"),
    (AccessError, 4, "not allowed"),
    (NotFoundError, 5, "not found"),
    (InvalidRequestError, 6, "refused"),
    (UnavailableError, 7, "not reachable"),
    (TaskFailedError, 3, "the task did not complete"),
    (WaitTimeoutError, 124, "waited long enough"),
    (CeleriacError, 1, "not done"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """An error as it is shown, and the exit code that goes with it."""

    what: str
    why: str
    fix: str
    exit_code: int
    # What went wrong, in a word that never changes, and in one sentence.
    code: str
    detail: str
    # What is wrong with each field, where the error says so.
    problems: tuple[FieldProblem, ...] = ()

    def text(self) -> str:
        """Return the lines for people; what is empty is left out."""
        lines = [f"error: {self.what}"]
        lines += [f"  {each}" for each in _problem_lines(self.problems)]
        lines += [
            f"  {word:<5} {line}" for word, line in (("why", self.why), ("fix", self.fix)) if line
        ]
        return "\n".join(lines) + "\n"

    def json_text(self) -> str:
        """Return one line for programs: the members that a problem has over HTTP."""
        facts: dict[str, object] = {"code": self.code, "detail": self.detail, "fix": self.fix}
        if self.problems:
            facts["errors"] = [
                {"pointer": each.pointer, "detail": each.detail} for each in self.problems
            ]
        # In ASCII: nothing in it can steer a terminal.
        return json.dumps(facts) + "\n"


def complaint_about(error: Exception) -> Complaint:
    """Return how an error is told to the person at the terminal."""
    if isinstance(error, SettingsError):
        # One line says all: its name, its value, what is allowed.
        return Complaint(
            what=str(error), why="", fix="", exit_code=2, code=error.code, detail=str(error)
        )
    for family, exit_code, what in _FAMILIES:
        if isinstance(error, family):
            return Complaint(
                what=_what(error, what),
                why=_why(error),
                fix=fix_for(error),
                exit_code=exit_code,
                code=error.code,
                detail=_sentence(error),
                problems=_problems(error),
            )
    if isinstance(error, UnicodeEncodeError):
        # What was typed; what comes from a service is UTF-8.
        why = "a word of the command has bytes that are no UTF-8"
        return _complaint("refused", why, "type it again in UTF-8", exit_code=2, code="misuse")
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        why = f"{error.strerror or error}{where}"
        return _complaint("not done", why, _FILE_FIX, exit_code=1, code="machine_refused")
    why = f"{type(error).__name__}: {error}"
    return _complaint("something unexpected", why, _UNEXPECTED_FIX, exit_code=1, code="unexpected")


def complaint_about_misuse(why: str, fix: str) -> Complaint:
    """Return how a command is told of that cannot be done as it was typed."""
    return _complaint("not done", why, fix, exit_code=2, code="misuse")


def _complaint(what: str, why: str, fix: str, *, exit_code: int, code: str) -> Complaint:
    return Complaint(what=what, why=why, fix=fix, exit_code=exit_code, code=code, detail=why)


def _what(error: CeleriacError, usual: str) -> str:
    if not isinstance(error, InvalidArgumentsError) or not error.problems:
        return usual
    count = len(error.problems)
    # One that came over HTTP about a task that exists does not say its name.
    name = getattr(error, "name", "the task")
    return f"{name}: {count} invalid argument{'' if count == 1 else 's'}"


def _why(error: CeleriacError) -> str:
    # A sentence that lists what stands in the lines below would say it twice.
    return "" if _problems(error) else _sentence(error)


def _sentence(error: CeleriacError) -> str:
    # Here the reader runs the machine: what is kept from callers of the service helps.
    if isinstance(error, LedgerUnavailableError | BrokerUnavailableError):
        # None came with what a service said.
        return ": ".join(filter(None, (str(error), getattr(error, "reason", ""))))
    return str(error)


def _problems(error: CeleriacError) -> tuple[FieldProblem, ...]:
    problems: tuple[FieldProblem, ...] = getattr(error, "problems", ())
    return problems


def _problem_lines(problems: Sequence[FieldProblem]) -> list[str]:
    names = [each.pointer.lstrip("/") or "arguments" for each in problems]
    width = max(map(len, names), default=0)
    return [f"{name:<{width}}  {each.detail}" for name, each in zip(names, problems, strict=True)]
