"""The client against the service: what one room says, the other understands."""

from __future__ import annotations

import io
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from celeriac import Client
from celeriac.client.handle import Handle
from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskError, TaskId
from celeriac.core.user import Role
from celeriac.errors import (
    AnotherProgramError,
    CeleriacError,
    CommitInDoubtError,
    IdempotencyKeyReusedError,
    InvalidArgumentsError,
    InvalidBatchError,
    InvalidOptionError,
    LedgerUnavailableError,
    NotAuthenticatedError,
    NotPermittedError,
    ServiceUnreachableError,
    TaskAlreadyFinalError,
    TaskFailedError,
    TaskNameNotFoundError,
    TaskNotFoundError,
    WaitTimeoutError,
)
from celeriac.wording import as_typed_here
from tests.contract.web.service import PASSWORD, Service
from tests.fakes import make_new_worker
from tests.servers.ports import free_port


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A submitter who signed in before."""
    with Client(service.url, service.add_user("ada")) as client:
        yield client


@pytest.fixture
def asked(client: Client) -> list[str]:
    """Return the paths that the client asks for."""
    paths: list[str] = []
    client._connection._http.event_hooks["request"] = [
        lambda request: paths.append(request.url.path)
    ]
    return paths


def begin(service: Service, task_id: str) -> str:
    """Claim a task, as a worker would, and return its lease."""
    leases = service.ledger.leases
    leases.join(make_new_worker())
    wanted = [TaskId(task_id)]
    claimed = leases.exchange("worker-1", outcomes=[], wanted=wanted, queues=["default"]).claimed
    return claimed[0].lease_token


def move(service: Service, task_id: str, token: str, percent: int) -> None:
    """Have a running task tell how far it is."""
    text = json.dumps({"state": "PROGRESS", "meta": {"done": percent}})
    service.ledger.tasks.set_progress([(TaskId(task_id), token, text)])
    service.changes.say(task_id)


def finish(
    service: Service, task_id: str, token: str, ending: Ending = Ending.COMPLETED, **facts: Any
) -> None:
    """End a task that was begun."""
    outcome = Outcome(
        task_id=TaskId(task_id),
        lease_token=token,
        ending=ending,
        finished_at=service.clock(),
        **facts,
    )
    service.ledger.leases.exchange("worker-1", outcomes=[outcome], wanted=[], queues=["default"])
    service.changes.say(task_id)


def end(service: Service, task_id: str, ending: Ending, **facts: Any) -> None:
    """Claim a task and end it."""
    finish(service, task_id, begin(service, task_id), ending, **facts)


def later(call: Callable[..., None], *given: Any, **facts: Any) -> None:
    """Have something done while one watches."""
    threading.Timer(0.2, call, given, facts).start()


def test_a_task_is_submitted_and_its_result_read(service: Service, client: Client) -> None:
    handle = client.submit("process", data="grüß dich")
    assert handle.state is TaskState.QUEUED
    end(service, handle.id, Ending.COMPLETED, result='"done"')

    assert handle.result(timeout=5) == "done"
    task = client.get(handle.id)
    assert (task.state, task.name, task.submitted_by) == (TaskState.COMPLETED, "process", "ada")


def test_a_task_that_failed_is_raised_with_what_failed(service: Service, client: Client) -> None:
    handle = client.submit("process", data="x")
    error = TaskError(kind=ErrorKind.EXCEPTION, type="ValueError", message="no")
    end(service, handle.id, Ending.FAILED, error=error)

    with pytest.raises(TaskFailedError) as caught:
        handle.result()

    assert str(caught.value) == f"the task {handle.id} is failed: ValueError: no"
    assert (caught.value.kind, caught.value.type_name) == ("exception", "ValueError")


def test_waiting_ends_in_time_and_the_task_goes_on(client: Client) -> None:
    handle = client.submit("process", data="x")

    with pytest.raises(WaitTimeoutError, match="is queued; it goes on"):
        handle.wait(timeout=0.2)

    assert handle.state is TaskState.QUEUED


def test_the_options_reach_the_task(client: Client) -> None:
    submitter = client.options(
        queue="io", priority=9, delay=timedelta(hours=1), tags=("a", "b"), max_attempts=4
    )

    task = submitter.submit("process", data="x").get()

    assert (task.queue, task.priority, task.tags, task.max_attempts) == ("io", 9, ("a", "b"), 4)
    assert (task.state, task.waiting_because) == (TaskState.SCHEDULED, "scheduled")


def test_refusals_are_the_services_own_errors(client: Client) -> None:
    with pytest.raises(InvalidArgumentsError) as arguments:
        client.submit("process", data=7)
    with pytest.raises(TaskNameNotFoundError):
        client.submit("no.such.task")
    with pytest.raises(InvalidOptionError):
        client.options(priority=10).submit("process", data="x")
    with pytest.raises(TaskNotFoundError) as task:
        client.get("no-such-id")

    assert [each.pointer for each in arguments.value.problems] == ["/data"]
    assert task.value.task_id == "no-such-id"


def test_a_task_is_cancelled_once(client: Client) -> None:
    handle = client.submit("process", data="x")

    assert client.cancel(handle.id).state is TaskState.CANCELLED
    with pytest.raises(TaskAlreadyFinalError):
        handle.cancel()
    with pytest.raises(TaskFailedError, match="is cancelled"):
        handle.result()


def test_a_list_is_read_page_by_page(client: Client) -> None:
    ids = [client.submit("process", data=str(each)).id for each in range(3)]

    first = client.list(name="process", states=(TaskState.QUEUED,), limit=2)
    rest = client.list(
        name="process", states=(TaskState.QUEUED,), limit=2, page_token=first.next_page_token
    )

    assert {task.id for task in first.tasks + rest.tasks} == set(ids)
    assert rest.next_page_token == ""


def test_what_can_be_submitted_is_told(client: Client) -> None:
    assert [each.name for each in client.task_types()] == ["process", "report"]
    assert client.task_type("process").schema["required"] == ["data"]
    with pytest.raises(TaskNameNotFoundError):
        client.task_type("nothing")


def test_a_user_signs_in_by_itself_and_again_when_the_token_has_ended(service: Service) -> None:
    service.add_user("ada")
    with Client(service.url, user="ada", password=PASSWORD) as client:
        first = client.submit("process", data="x")
        # On the service's clock alone: the client learns of it by a 401.
        service.clock.advance(hours=1)

        second = client.submit("process", data="y")

        assert {task.id for task in client.list().tasks} == {first.id, second.id}


def test_a_wrong_password_is_refused(service: Service) -> None:
    with (
        Client(service.url, user="ada", password="a wrong guess") as client,
        pytest.raises(NotAuthenticatedError),
    ):
        client.list()


def test_a_key_that_is_not_good_is_refused_once(service: Service) -> None:
    with (
        Client(service.url, "ck_wrong") as client,
        pytest.raises(NotAuthenticatedError) as caught,
    ):
        client.list()

    assert as_typed_here("celeriac key create LABEL --user NAME") in caught.value.fix
    assert "First steps" in caught.value.fix
    assert caught.value.__notes__ == [f"fix: {caught.value.fix}"]


def test_a_right_that_is_missing_is_named(service: Service) -> None:
    token = service.add_user("vi", Role.VIEWER)
    with Client(service.url, token) as client, pytest.raises(NotPermittedError) as caught:
        client.submit("process", data="x")

    assert caught.value.scope == "submit"


@pytest.mark.parametrize("call", [lambda c: c.list(), lambda c: c.download("one", io.BytesIO())])
def test_a_service_that_is_not_there_is_told_in_a_few_lines_with_what_helps(
    call: Callable[[Client], object],
) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with Client(url, "key") as client, pytest.raises(ServiceUnreachableError) as caught:
        call(client)

    shown = "".join(traceback.format_exception(caught.value))
    assert f"there is no answer from {url}: Connection refused" in shown
    assert shown.splitlines()[-1] == (
        "fix: see that it runs there and that this is its address; "
        "`python run.py up` starts one here"
    )
    # Whose call it was, and not the inside of the libraries under it.
    assert "httpcore" not in shown
    assert shown.count("Traceback") == 1


class OtherProgram(BaseHTTPRequestHandler):
    """Says the same to whoever asks for anything."""

    answers: ClassVar[dict[str, str]] = {
        "page": "200 text/html <html>Welcome</html>",
        "json": '200 application/json ["something"]',
        "refusal": '404 application/json {"detail":"Not Found"}',
        "door": "302 text/html ",
    }
    server_version, sys_version = "Some\x1bthing/1.0", ""

    def do_GET(self) -> None:
        """Answer by the first word of the path."""
        status, kind, text = self.answers[self.path.split("/")[1]].split(" ", 2)
        self.send_response(int(status))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        if status == "302":
            self.send_header("Location", "https://elsewhere/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def other_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherProgram) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()
        thread.join()


# A page and JSON that is none of ours, another program's refusal, a redirect; and it takes no POST.
@pytest.mark.parametrize(
    ("said", "status"), [("page", 200), ("json", 200), ("refusal", 404), ("door", 302)]
)
def test_another_program_at_the_address_is_told_with_its_name(
    other_url: str, said: str, status: int
) -> None:
    url = f"{other_url}/{said}"

    with Client(url, "key") as client:
        with pytest.raises(AnotherProgramError) as read:
            client.get("one")
        with pytest.raises(AnotherProgramError) as submitted:
            client.submit("process", data="x")
    with (
        Client(url, user="ada", password=PASSWORD) as client,
        pytest.raises(AnotherProgramError) as signed_in,
    ):
        client.get("one")

    assert f"what answers at {url} is not Celeriac: it answered {status}" in str(read.value)
    assert str(read.value).endswith("it calls itself Something/1.0")
    assert "it answered 501" in str(submitted.value)
    assert "it answered 501" in str(signed_in.value)
    assert "after Open" in read.value.fix
    assert ("leading to https://elsewhere/" in str(read.value)) == (said == "door")


def test_a_ledger_that_is_away_is_told_and_waited_for(service: Service, client: Client) -> None:
    handle = client.submit("process", data="x")
    looks = handle.watch()
    assert next(looks).state is TaskState.QUEUED
    service.switched.error = LedgerUnavailableError("gone")
    with pytest.raises(LedgerUnavailableError):
        handle.get()
    service.switched.error = None
    end(service, handle.id, Ending.COMPLETED, result="1")

    assert next(looks).state is TaskState.COMPLETED


def test_a_task_is_watched_with_few_requests_however_often_it_changes(
    service: Service, client: Client, asked: list[str]
) -> None:
    handle = client.submit("process", data="x")
    token = begin(service, handle.id)
    asked.clear()
    looks = handle.watch()
    seen = [next(looks).progress]
    for percent in range(1, 5):
        later(move, service, handle.id, token, percent)
        seen.append(next(looks).progress)

    later(finish, service, handle.id, token, result='"done"')
    last = next(looks)

    assert seen == [None, *({"done": percent} for percent in range(1, 5))]
    assert (last.state, last.result) == (TaskState.COMPLETED, "done")
    path = f"/tasks/{handle.id}"
    assert asked == [path, f"{path}/events", path]
    with pytest.raises(StopIteration):
        next(looks)


def test_a_watch_goes_on_when_the_service_hangs_up(
    service: Service, client: Client, asked: list[str]
) -> None:
    handle = client.submit("process", data="x")
    token = begin(service, handle.id)
    asked.clear()
    looks = handle.watch()
    assert next(looks).state is TaskState.RUNNING
    later(service.app.state.end_waits)
    threading.Timer(0.6, finish, (service, handle.id, token), {"result": '"done"'}).start()

    last = next(looks)

    assert (last.state, last.result) == (TaskState.COMPLETED, "done")
    assert asked.count(f"/tasks/{handle.id}/events") >= 1


def test_a_short_watch_ends_in_time_and_asks_seldom(
    service: Service, client: Client, asked: list[str]
) -> None:
    handle = client.submit("process", data="x")
    begin(service, handle.id)
    asked.clear()

    with pytest.raises(WaitTimeoutError):
        [*handle.watch(timeout=2)]

    assert 3 <= len(asked) <= 15


def test_who_asks_must_be_named_in_one_way() -> None:
    with pytest.raises(TypeError):
        Client("http://127.0.0.1:1")
    with pytest.raises(TypeError):
        Client("http://127.0.0.1:1", "key", user="ada", password="x")


def test_a_key_makes_one_task_of_two_submissions(service: Service, client: Client) -> None:
    first = client.submit("process", data="x", idempotency_key="k")
    again = client.submit("process", data="x", idempotency_key="k")

    assert first.id == again.id
    with pytest.raises(IdempotencyKeyReusedError) as caught:
        client.submit("process", data="y", idempotency_key="k")
    assert caught.value.fix


@pytest.mark.parametrize("key", ["k", None])
def test_only_a_key_has_a_doubtful_submission_sent_again(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.setattr(client._connection, "_sleep", pauses := Pauses())
    accept = service.ledger.submissions.accept

    def accept_and_lose_the_answer(submissions: Any, *given: Any) -> Any:
        monkeypatch.setattr(service.ledger.submissions, "accept", accept)
        accept(submissions, *given)
        raise CommitInDoubtError("the connection was cut")

    monkeypatch.setattr(service.ledger.submissions, "accept", accept_and_lose_the_answer)
    if key is None:
        with pytest.raises(CommitInDoubtError, match="may or may not"):
            client.submit("process", data="x")
    else:
        client.submit("process", data="x", idempotency_key=key)

    assert len(client.list().tasks) == 1
    assert len(pauses) == (key is not None)


class Pauses(list[float]):
    """Takes note of pauses in place of making them."""

    __call__ = list.append


def test_an_equal_task_stands_for_another_for_a_while(client: Client) -> None:
    submitter = client.options(unique_for=timedelta(minutes=1))

    assert submitter.submit("process", data="x").id == submitter.submit("process", data="x").id


def test_who_waits_for_the_end_has_the_result_at_once(service: Service, client: Client) -> None:
    ending = threading.Timer(
        0.2,
        lambda: end(service, service.publisher.wait_for(1)[0], Ending.COMPLETED, result='"done"'),
    )
    ending.start()

    handle = client.submit("process", data="x", wait=20)

    assert handle.accepted is not None
    assert handle.accepted.state is TaskState.COMPLETED
    service.switched.error = LedgerUnavailableError("nobody needs to ask again")
    assert handle.result(timeout=0) == "done"


def test_a_result_comes_as_soon_as_the_task_has_ended(service: Service, client: Client) -> None:
    ending = threading.Timer(
        0.2,
        lambda: end(service, service.publisher.wait_for(1)[0], Ending.COMPLETED, result='"done"'),
    )
    ending.start()

    assert client.run("process", data="x", timeout=20) == "done"


def test_many_tasks_are_submitted_at_once(service: Service, client: Client) -> None:
    tasks = [("process", {"data": str(number)}) for number in range(1500)]
    tasks[700] = ("nothing", {})

    found = client.options(queue="many", tags=("a",)).submit_many(tasks, idempotency_key="k")
    again = client.options(queue="many", tags=("a",)).submit_many(tasks, idempotency_key="k")

    refused = [each for each in found if isinstance(each, CeleriacError)]
    assert [type(each) for each in refused] == [TaskNameNotFoundError]
    assert found[700] is refused[0]
    handles = [each for each in found if isinstance(each, Handle)]
    assert len({each.id for each in handles}) == 1499
    assert [each.id for each in again if isinstance(each, Handle)] == [each.id for each in handles]
    task = handles[0].get()
    assert (task.queue, task.tags) == ("many", ("a",))


def test_many_tasks_are_all_or_none(service: Service, client: Client) -> None:
    with pytest.raises(InvalidBatchError) as caught:
        client.submit_many([("process", {"data": "x"}), ("process", {})], atomic=True)

    assert [each.pointer for each in caught.value.problems] == ["/tasks/1/arguments/data"]
    assert client.list().tasks == ()
    assert client.submit_many([]) == ()
