"""Everything that can be refused or go wrong, as one tree.

    CeleriacError
    ├── InvalidRequestError        what was asked makes no sense                    422
    │   ├── InvalidArgumentsError      arguments do not fit the task function
    │   ├── InvalidOptionError         an option, a field or a filter is out of bounds
    │   ├── InvalidBatchError          tasks of a batch that was to be all or nothing
    │   ├── IdempotencyKeyReusedError  the key came with another request
    │   └── WeakPasswordError          too short or too well known
    ├── NotFoundError              there is no such thing                           404
    │   ├── TaskNotFoundError
    │   ├── TaskNameNotFoundError
    │   ├── UserNotFoundError
    │   ├── QueueNotFoundError
    │   ├── KeyNotFoundError
    │   ├── FileNotKeptError
    │   └── StartLinkNotFoundError     never made, or its time is over
    ├── ConflictError              it is there, but not in a state for this         409
    │   ├── TaskAlreadyFinalError
    │   ├── TaskNotFinalError
    │   ├── NoResultError              the task has not ended, or not with a result
    │   ├── TaskIdTakenError
    │   ├── UserExistsError
    │   ├── IdempotencyKeyInFlightError  the first request with the key is not answered yet
    │   └── StartLinkUsedError         the first admin has been made
    ├── UnavailableError           something we stand on is away                     503
    │   ├── LedgerUnavailableError     nothing was done
    │   │   └── CommitInDoubtError     but for this one: it was done or not, nobody knows
    │   ├── AcceptQueueFullError       more is handed in than can be written
    │   ├── BrokerUnavailableError
    │   ├── FilesUnavailableError      the files' folder cannot be written
    │   └── ServiceUnreachableError    the client got no answer
    │       └── AnotherProgramError    the client got the answer of something else
    ├── AccessError                who asks may not
    │   ├── NotAuthenticatedError      no or bad credentials                        401
    │   ├── NotSignedInError           the command line knows no service, or no key for it
    │   ├── NotPermittedError          a right is missing, and named                403
    │   └── RateLimitedError           too often                                    429
    ├── StartError                 `celeriac up` cannot start here; nothing was started
    │   ├── DataFolderInUseError       another `up` holds the data folder
    │   ├── ProjectMissingError        the file that was named to run is not there
    │   ├── AppMissingError            the Celery app that was named to run is not there
    │   ├── BrokerMissingError         there is no broker to start and none was named
    │   └── ProgramFailedError         one of its programs ended again and again
    ├── TaskFailedError            a client waited for a result, and there will be none
    ├── WaitTimeoutError           a client waited long enough; the task goes on
    └── SettingsError              a setting is broken: its name, its value, what is allowed

The HTTP statuses stand in `web/problems.py` and nowhere else. An error takes facts and builds its
sentence itself; `code` is part of the API and never changes.

They are in one file although it is long: what there is to catch is read in one go, the client finds
each by its code here, and a kept exception is built again by its name in this module alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


class CeleriacError(Exception):
    """Anything that Celeriac refuses or fails at."""

    code = "error"
    # What the reader can do about it, where one thing helps; empty otherwise.
    fix = ""

    def __reduce__(self) -> tuple[Any, ...]:
        # By its facts. Exception's own way calls the class with the sentence, which takes facts,
        # and Celery hands on a nameless base instead of an error that it cannot copy.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[CeleriacError], args: tuple[Any, ...], facts: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class InvalidRequestError(CeleriacError):
    """What was asked makes no sense."""

    code = "invalid_request"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    # A JSON pointer into the body (RFC 6901): "/width", or "" for the whole body.
    pointer: str
    detail: str


class InvalidArgumentsError(InvalidRequestError):
    """The arguments do not fit the task function."""

    code = "invalid_arguments"

    def __init__(self, name: str, problems: tuple[FieldProblem, ...]) -> None:
        count = f"{len(problems)} invalid argument{'s' if len(problems) != 1 else ''}"
        listed = "; ".join(f"{p.pointer.lstrip('/') or 'arguments'}: {p.detail}" for p in problems)
        super().__init__(f"{name}: {count}: {listed}")
        self.name = name
        self.problems = problems


class InvalidOptionError(InvalidRequestError):
    """An option, a field or a filter is out of bounds."""

    code = "invalid_option"

    def __init__(self, option: str, detail: str) -> None:
        super().__init__(f"{option}: {detail}")
        self.option = option
        self.problems = (FieldProblem(pointer=f"/{option}", detail=detail),)


class InvalidBatchError(InvalidRequestError):
    """Tasks of a batch cannot be accepted, and all of them were to be or none."""

    code = "invalid_batch"
    fix = "correct the tasks that are named, or send them without atomic=true"

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("nothing of the batch was accepted")
        self.problems = problems


class IdempotencyKeyReusedError(InvalidRequestError):
    """The idempotency key came before, with another request."""

    code = "idempotency_key_reused"
    fix = "send another key with another request, and the same key only with the same one"

    def __init__(self) -> None:
        super().__init__("the Idempotency-Key was sent with another request before")


class WeakPasswordError(InvalidRequestError):
    """The password is too short or too well known."""

    code = "weak_password"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password is {reason}")
        self.reason = reason


class NotFoundError(CeleriacError):
    """There is no such thing."""

    code = "not_found"


class TaskNotFoundError(NotFoundError):
    """No task has this id."""

    code = "task_not_found"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"no task has the id {task_id}")
        self.task_id = task_id


class TaskNameNotFoundError(NotFoundError):
    """No task function is registered under this name."""

    code = "task_name_not_found"
    fix = (
        "GET /task-types lists the names; if yours is not among them, "
        "`celeriac doctor` says whether its file has a mistake"
    )

    def __init__(self, name: str, *, question: str = "", unloaded: Sequence[str] = ()) -> None:
        super().__init__("; ".join((f"no task is registered under the name {name}", *unloaded)))
        self.name = name
        if question:
            # Which ones may have been meant; see core/nearest.py.
            self.fix = f"{question} GET /task-types lists the names"
        elif unloaded:
            # Why is in the message.
            self.fix = "mend it and save; start again where reload is off"


class UserNotFoundError(NotFoundError):
    """No user has this name."""

    code = "user_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no user is called {name}")
        self.name = name


class StartLinkNotFoundError(NotFoundError):
    """No such start link was made, or its time is over."""

    code = "start_link_not_found"
    fix = "start `celeriac up` again: it prints a new one"

    def __init__(self) -> None:
        super().__init__("this start link was never made, or its 30 minutes are over")


class PasswordLinkNotFoundError(NotFoundError):
    """No such link to choose a password by is good."""

    code = "password_link_not_found"
    fix = "ask whoever runs this service for another: `celeriac user reset-link NAME` makes one"

    def __init__(self) -> None:
        super().__init__(
            "this link is not good: it has been used, a newer one was made, its 24 hours are over,"
            " or it never was one"
        )


class QueueNotFoundError(NotFoundError):
    """Nothing is known of a queue of this name."""

    code = "queue_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no task, worker or pause names the queue {name}")
        self.name = name


class KeyNotFoundError(NotFoundError):
    """The user has no such key."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no one key called {key_id}")
        self.key_id = key_id


class FileNotKeptError(NotFoundError):
    """The task has no such file, or it is gone."""

    code = "file_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"the file {name} is not there: it was deleted, or never came here")
        self.name = name


class ConflictError(CeleriacError):
    """It is there, but not in a state for this."""

    code = "conflict"


class TaskAlreadyFinalError(ConflictError):
    """The task has ended; nothing was changed."""

    code = "task_already_final"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"the task {task_id} has already ended: it is {state}")
        self.task_id = task_id
        self.state = state


class TaskNotFinalError(ConflictError):
    """The task has not ended; only then can it be run again."""

    code = "task_not_final"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"the task {task_id} has not ended: it is {state}")
        self.task_id = task_id
        self.state = state


class NoResultError(ConflictError):
    """The task has no result: it has not ended, or not with one."""

    code = "no_result"

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"the task {task_id} has no result: it is {state}")
        self.task_id = task_id
        self.state = state


class TaskIdTakenError(ConflictError):
    """Another task has this id; ids are unique for ever."""

    code = "task_id_taken"

    def __init__(self, task_id: str) -> None:
        super().__init__(f"another task has the id {task_id}")
        self.task_id = task_id


class UserExistsError(ConflictError):
    """A user of this name exists."""

    code = "user_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"a user called {name} exists already")
        self.name = name


class IdempotencyKeyInFlightError(ConflictError):
    """The first request with this idempotency key is not answered yet."""

    code = "idempotency_key_in_flight"
    fix = "send it again in a moment"

    def __init__(self) -> None:
        super().__init__("a request with the same Idempotency-Key is not answered yet")


class StartLinkUsedError(ConflictError):
    """The start link has made the first admin already."""

    code = "start_link_used"
    fix = "sign in; with the password forgotten, `celeriac user reset-link NAME` makes a new link"

    def __init__(self) -> None:
        super().__init__("this start link has been used")


class UnavailableError(CeleriacError):
    """Something we stand on is away; nothing was done, unless CommitInDoubtError says so."""

    code = "unavailable"


class LedgerUnavailableError(UnavailableError):
    """The database did not answer, or refused to commit: nothing was accepted."""

    code = "ledger_unavailable"
    sentence = "the ledger is unavailable"

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__(self.sentence)
        # For the log, never for a caller: it may name hosts and files.
        self.reason = reason
        if fix:
            self.fix = fix


class CommitInDoubtError(LedgerUnavailableError):
    """The answer to a COMMIT was lost: what was asked may or may not have been done."""

    code = "commit_in_doubt"
    fix = (
        "send it again with the same Idempotency-Key, which finds what was accepted; without a key,"
        " look first whether it was"
    )
    sentence = "the ledger was lost as it committed: this may or may not have been accepted"


class AcceptQueueFullError(UnavailableError):
    """More is handed in than can be written: nothing was accepted."""

    code = "accept_queue_full"
    fix = "send it again in a moment, or send many tasks in one POST /tasks:batch"

    def __init__(self) -> None:
        super().__init__("too many submissions wait to be written")


class BrokerUnavailableError(UnavailableError):
    """The broker did not answer."""

    code = "broker_unavailable"

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__("the broker is unavailable")
        # For the log, never for a caller: it may name hosts.
        self.reason = reason
        if fix:
            self.fix = fix


class FilesUnavailableError(UnavailableError):
    """A file could not be kept: there is no room, or the folder cannot be written."""

    code = "files_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__("files cannot be kept at the moment")
        # For the log, never for a caller: it names folders.
        self.reason = reason


class ServiceUnreachableError(UnavailableError):
    """The HTTP service gave no answer, or one that is none of ours."""

    code = "service_unreachable"
    fix = "see that it runs there and that this is its address; `celeriac up` starts one here"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"there is no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class AnotherProgramError(ServiceUnreachableError):
    """What answers at the address of the HTTP service is something else."""

    code = "another_program"
    fix = (
        "give the address at which Celeriac listens: `celeriac up` prints it after Open, "
        "and says so when the port was taken"
    )

    def __init__(self, url: str, *, status: int, server: str = "", location: str = "") -> None:
        """Take what is known of the other program.

        Args:
            url: The address that was asked.
            status: Its HTTP status.
            server: What it calls itself; empty when it does not.
            location: Where it sends whoever asks; empty when it sends nobody.
        """
        said = f"it answered {status}"
        if location:
            said += f", leading to {location}"
        named = f"; it calls itself {server}" if server else ""
        # Not the sentence of its parent: there is an answer.
        CeleriacError.__init__(self, f"what answers at {url} is not Celeriac: {said}{named}")
        self.url = url
        self.status = status
        self.server = server
        self.location = location
        if location:
            self.fix = (
                "if Celeriac is where it leads, give that address without its path; "
                "otherwise the one that `celeriac up` prints after Open"
            )


class ServiceStartingError(UnavailableError):
    """`celeriac up` runs, and the process of its HTTP service does not answer."""

    code = "service_starting"
    fix = "send it again in a moment; where `celeriac up` runs it says what keeps the service"

    def __init__(self) -> None:
        super().__init__("the HTTP service is being started and does not answer yet")


class AccessError(CeleriacError):
    """Who asks may not."""

    code = "access_denied"


class NotAuthenticatedError(AccessError):
    """There are no credentials, or they are not good."""

    code = "not_authenticated"

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


class NotSignedInError(AccessError):
    """The command line knows no service to ask, or no key that goes with it."""

    code = "not_signed_in"
    fix = "`celeriac up` starts one here; CELERIAC_URL and CELERIAC_KEY name another"

    def __init__(self, reason: str, *, fix: str = "") -> None:
        super().__init__(reason)
        if fix:
            self.fix = fix


class NotPermittedError(AccessError):
    """The caller is known, but lacks a right."""

    code = "not_permitted"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs the right {scope}")
        self.scope = scope


class RateLimitedError(AccessError):
    """The caller asked too often."""

    code = "rate_limited"

    def __init__(self, retry_after: timedelta) -> None:
        seconds = math.ceil(retry_after.total_seconds())
        super().__init__(f"too many requests; try again in {seconds} s")
        self.retry_after = retry_after


class StartError(CeleriacError):
    """`celeriac up` cannot start here; nothing was started."""

    code = "start_failed"


class DataFolderInUseError(StartError):
    """Another `celeriac up` holds the data folder."""

    code = "data_folder_in_use"
    fix = "stop that one, or name another folder with --data"

    def __init__(self, folder: str, holder: str, *, pid: int = 0, url: str = "") -> None:
        super().__init__(f"the data folder {folder} is in use by {holder}")
        self.folder = folder
        if pid:
            self.fix = (
                f"it runs already{f': open {url}' if url else ''}; "
                f"to stop it, Ctrl-C where it runs (or end process {pid}); "
                "to start another one beside it, name another folder with --data"
            )
        # Who holds it, as a person would look for it: "process 123 since …".
        self.holder = holder


class DataFolderLostError(CeleriacError):
    """The data folder, or its ledger, was taken away from a `celeriac up` that runs on it."""

    code = "data_folder_lost"

    def __init__(self, folder: str, *, ledger: str = "") -> None:
        what = f"the ledger {ledger}" if ledger else f"the data folder {folder}"
        rest = "" if ledger else ", and the ledger with it"
        super().__init__(
            f"{what} was deleted, moved or replaced while `celeriac up` ran on it{rest}; "
            "everything was stopped"
        )
        self.fix = (
            "start again, which makes a new one; to keep tasks, users and keys, put the "
            f"{'file' if ledger else 'folder'} back from a backup before that"
        )
        self.folder = folder
        # The file that was lost; empty when all of the folder was.
        self.ledger = ledger


class ProjectMissingError(StartError):
    """The file that was named to run is not there."""

    code = "project_missing"
    fix = "`celeriac init` writes a tasks.py to begin with"

    def __init__(self, file: str) -> None:
        super().__init__(f"there is no {file}")
        self.file = file


class AppMissingError(StartError):
    """The Celery app that was named to run is not there."""

    code = "app_missing"
    fix = "name it as MODULE:ATTRIBUTE, in the folder from which Python finds the module"

    def __init__(self, app: str, reason: str) -> None:
        super().__init__(f"there is no app {app}: {reason}")
        self.app = app


class BrokerMissingError(StartError):
    """There is no broker program on this machine, and no broker was named."""

    code = "broker_missing"

    def __init__(self, fix: str) -> None:
        super().__init__("there is no Valkey or Redis on this machine, and none was named")
        self.fix = fix


class ProgramFailedError(StartError):
    """A program ended again and again before it was ready."""

    code = "program_failed"

    def __init__(self, name: str, code: int, log: str) -> None:
        super().__init__(f"the {name} ended with exit code {code} before it was ready")
        self.name = name
        self.fix = f"read {log}"


class TaskFailedError(CeleriacError):
    """The task has ended without a result."""

    code = "task_failed"

    def __init__(
        self, task_id: str, state: str, *, kind: str, type_name: str, message: str
    ) -> None:
        why = ": ".join(part for part in (type_name, message) if part)
        super().__init__(f"the task {task_id} is {state}" + (f": {why}" if why else ""))
        self.task_id = task_id
        # How it ended: failed, cancelled or expired.
        self.state = state
        # Why it failed, as in docs/errors.md; empty when it did not fail.
        self.kind = kind
        # The exception's class in the worker, by its name.
        self.type_name = type_name
        self.message = message


class WaitTimeoutError(CeleriacError):
    """The time to wait is over; the task goes on."""

    code = "wait_timed_out"

    def __init__(self, task_id: str, state: str, timeout: timedelta) -> None:
        super().__init__(
            f"after {timeout.total_seconds():g} s the task {task_id} is {state}; it goes on"
        )
        self.task_id = task_id
        self.state = state
        self.timeout = timeout


class SettingsError(CeleriacError):
    """A setting is broken."""

    code = "setting_invalid"

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name} is {value!r}; allowed: {allowed}")
        self.name = name
        # As it may be shown: a secret is masked by whoever raises this.
        self.value = value
        self.allowed = allowed
