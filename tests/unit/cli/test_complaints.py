from __future__ import annotations

import json

import pytest

from celeriac.cli.complaints import complaint_about
from celeriac.client.problems import error_from_answer
from celeriac.errors import (
    BrokerMissingError,
    DataFolderInUseError,
    FieldProblem,
    InvalidArgumentsError,
    LedgerUnavailableError,
    NotAuthenticatedError,
    NotPermittedError,
    NotSignedInError,
    SettingsError,
    TaskAlreadyFinalError,
    TaskIdTakenError,
    TaskNameNotFoundError,
    TaskNotFoundError,
    UserNotFoundError,
    WeakPasswordError,
)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (SettingsError("CELERIAC_PORT", "x", "a port"), 2),
        (DataFolderInUseError("/data", "process 7"), 2),
        (NotAuthenticatedError("the key is unknown"), 4),
        (UserNotFoundError("ana"), 5),
        (WeakPasswordError("too short"), 6),
        (LedgerUnavailableError("disk full"), 7),
        # Everything else of ours, and everything that is not ours.
        (TaskIdTakenError("7"), 1),
        (BrokerMissingError("install one"), 1),
        (RuntimeError("oops"), 1),
    ],
)
def test_every_family_of_errors_has_its_exit_code(error: Exception, exit_code: int) -> None:
    assert complaint_about(error).exit_code == exit_code


def test_a_broken_setting_is_one_line_with_name_value_and_what_is_allowed() -> None:
    complaint = complaint_about(SettingsError("CELERIAC_PORT", "x", "a port from 0 to 65535"))

    assert complaint.text() == ("error: CELERIAC_PORT is 'x'; allowed: a port from 0 to 65535\n")


def test_an_error_tells_what_why_and_what_helps() -> None:
    complaint = complaint_about(DataFolderInUseError("/data", "process 7"))

    assert complaint.text().splitlines() == [
        "error: not started",
        "  why   the data folder /data is in use by process 7",
        "  fix   stop that one, or name another folder with --data",
    ]


def test_arguments_that_do_not_fit_are_named_with_their_task() -> None:
    problems = (FieldProblem("/n", "is missing"), FieldProblem("/times", "is no number"))

    complaint = complaint_about(InvalidArgumentsError("hello.greet", problems))

    assert complaint.text().splitlines() == [
        "error: hello.greet: 2 invalid arguments",
        "  n      is missing",
        "  times  is no number",
        "  fix   celeriac tasks describe hello.greet says what it takes",
    ]


def test_an_error_is_told_to_a_program_as_a_problem_is_over_http() -> None:
    problems = (FieldProblem("/n", "is missing"), FieldProblem("/times", "is no number"))

    text = complaint_about(InvalidArgumentsError("hello.greet", problems)).json_text()

    told = json.loads(text)
    assert text.count("\n") == 1
    assert told.pop("detail").startswith("hello.greet: 2 invalid arguments")
    assert told == {
        "code": "invalid_arguments",
        "fix": "celeriac tasks describe hello.greet says what it takes",
        "errors": [
            {"pointer": "/n", "detail": "is missing"},
            {"pointer": "/times", "detail": "is no number"},
        ],
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskNotFoundError("t1"), "task_not_found"),
        (SettingsError("CELERIAC_PORT", "x", "a port"), "setting_invalid"),
        (OSError(28, "No space left on device"), "machine_refused"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "misuse"),
        (RuntimeError("\x1b[2J"), "unexpected"),
    ],
)
def test_every_error_has_a_code_and_a_sentence_for_a_program(error: Exception, code: str) -> None:
    text = complaint_about(error).json_text()

    told = json.loads(text)
    assert told["code"] == code
    assert told["detail"]
    assert text.isascii()
    assert "errors" not in told


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (TaskNotFoundError("t1"), "celeriac tasks list shows those that are kept"),
        (TaskAlreadyFinalError("t1", "failed"), "celeriac tasks retry t1 runs it again, as a new"),
        (NotPermittedError("operate"), "celeriac key create LABEL --user NAME --scope operate"),
        # What is a call over HTTP is a command here.
        (TaskNameNotFoundError("x", question="did you mean y?"), "did you mean y? celeriac task-t"),
        # One that came from a service without the fact.
        (error_from_answer(409, {}, '{"code": "no_result"}', facts={}), "celeriac get ID shows"),
        (NotSignedInError("no service is named"), "`celeriac up` starts one here"),
        # What the service says itself, where we know no command.
        (error_from_answer(403, {}, '{"code": "flower_refused", "fix": "Do."}', facts={}), "Do."),
        # But not what it says of paths and headers.
        (error_from_answer(404, {}, '{"code": "task_not_found", "fix": "GET"}', facts={}), "celer"),
        (
            error_from_answer(401, {}, '{"code": "not_authenticated", "fix": "H"}', facts={}),
            "give a",
        ),
        (TaskIdTakenError("7"), ""),
    ],
)
def test_an_error_is_told_with_the_command_that_helps(error: Exception, fix: str) -> None:
    told = complaint_about(error).fix

    assert told.startswith(fix)
    assert bool(told) == bool(fix)


def test_arguments_that_do_not_fit_are_told_for_a_task_whose_name_was_not_sent() -> None:
    body = '{"code": "invalid_arguments", "errors": [{"pointer": "/n", "detail": "is missing"}]}'

    complaint = complaint_about(error_from_answer(422, {}, body, facts={"task_id": "t1"}))

    assert complaint.text().splitlines() == [
        "error: the task: 1 invalid argument",
        "  n  is missing",
        "  fix   celeriac tasks describe NAME says what it takes",
    ]


def test_an_unavailable_ledger_tells_its_reason_to_who_runs_the_machine() -> None:
    assert "disk full" in complaint_about(LedgerUnavailableError("disk full")).why


def test_an_unavailable_ledger_is_told_as_the_service_told_it() -> None:
    body = '{"code": "ledger_unavailable", "detail": "the ledger is unavailable"}'

    complaint = complaint_about(error_from_answer(503, {}, body, facts={}))

    assert complaint.why == "the ledger is unavailable"


def test_an_error_without_a_remedy_has_no_line_for_it() -> None:
    assert "fix" not in complaint_about(TaskIdTakenError("7")).text()


@pytest.mark.parametrize(
    ("error", "why", "code"),
    [
        (OSError(28, "No space left on device"), "No space left on device", 1),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x", 1),
        # The shell hands over whatever bytes a name has.
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "bytes that are no UTF-8", 2),
    ],
)
def test_what_the_machine_refuses_is_no_mistake_of_ours(
    error: Exception, why: str, code: int
) -> None:
    told = complaint_about(error)

    assert told.why.endswith(why)
    assert told.exit_code == code
    assert told.fix
    assert "mistake of ours" not in told.fix
