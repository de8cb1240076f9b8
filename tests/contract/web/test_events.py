"""Being told what happens, over a real connection."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from celeriac.core.task import TaskId
from celeriac.core.user import Role, Scope
from celeriac.errors import LedgerUnavailableError
from celeriac.service.reports import TaskReport
from celeriac.web.live import guests, hub, routes
from celeriac.web.live.guests import MOST_EACH
from celeriac.web.live.watch import MOST_NAMED
from tests.contract.web.browser import browser_of
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Service
from tests.contract.web.streams import Stream, watching
from tests.contract.web.test_keys import key_client
from tests.contract.web.test_pages import finish
from tests.fakes import make_worker
from tests.servers.processes import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that no test waits for a pause that is not its subject."""
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def olga(service: Service) -> httpx.Client:
    """An operator."""
    return service.signed_in("olga", Role.OPERATOR)


def submit(service: Service, client: httpx.Client, name: str = "process") -> str:
    """Submit a task, some seconds after whatever was before."""
    service.clock.advance(seconds=2)
    return str(client.post(f"/tasks/{name}", json={"data": "x"}).json()["task_id"])


def say(service: Service, *task_ids: str, **more: Any) -> None:
    """Have it said that tasks changed, once somebody listens."""
    wait_until(lambda: service.changes.begun > service.changes.stopped, "the hub listens")
    service.changes.say(*task_ids, **more)


def test_a_stream_is_one(service: Service, ada: httpx.Client) -> None:
    with watching(ada, "/events?topics=tasks") as stream:
        headers = stream.response.headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["x-accel-buffering"] == "no"
    assert headers["cache-control"] == "no-store"
    assert "ratelimit" in headers
    assert "content-length" not in headers


def test_who_watches_the_list_is_told_what_changed(service: Service, ada: httpx.Client) -> None:
    with watching(ada, "/events?topics=tasks") as stream:
        task_id = submit(service, ada)
        say(service, task_id)
        first = stream.next_list()
        say(service, task_id)
        second = stream.next_list()

    assert first == {"ids": [task_id], "new": 1, "mine": 1, "gone": 0, "more": False}
    assert second == {"ids": [task_id], "new": 0, "mine": 0, "gone": 0, "more": False}


def test_what_was_there_before_is_no_news(service: Service, ada: httpx.Client) -> None:
    task_id = submit(service, ada)

    with watching(ada, "/events?topics=tasks") as stream:
        say(service, task_id)
        told = stream.next_list()

    assert (told["new"], told["mine"]) == (0, 0)


def test_one_is_told_of_ones_own_tasks_alone(
    service: Service, ada: httpx.Client, olga: httpx.Client
) -> None:
    bert = service.signed_in("bert")

    with (
        watching(ada, "/events?topics=tasks") as adas,
        watching(olga, "/events?topics=tasks") as olgas,
    ):
        own, others = submit(service, ada), submit(service, bert)
        say(service, others, "unknown", own)
        told, told_all = adas.next_list(), olgas.next_list()

    assert told["ids"] == [own]
    assert set(told_all["ids"]) == {own, others, "unknown"}
    assert (told_all["new"], told_all["mine"]) == (2, 0)


def test_a_key_is_told_of_the_names_it_is_for(service: Service, olga: httpx.Client) -> None:
    key = key_client(
        service, scopes=frozenset({Scope.READ, Scope.OPERATE}), task_patterns=("rep*",)
    )

    with watching(key, "/events?topics=tasks") as stream:
        other, own = submit(service, olga), submit(service, olga, "report")
        say(service, other, own)
        told = stream.next_list()

    assert told["ids"] == [own]


def test_a_task_is_told_as_it_stands_and_at_each_change(
    service: Service, ada: httpx.Client
) -> None:
    task_id = submit(service, ada)

    with watching(ada, f"/events?topics=task:{task_id},tasks") as stream:
        first = stream.next("task").data
        finish(service, f"/{task_id}", result='"done"')
        say(service, task_id)
        second = stream.next("task").data

    read = ada.get(f"/tasks/{task_id}").json()
    assert (first["state"], first["version"]) == ("queued", 1)
    assert second == {name: value for name, value in read.items() if name != "result"}
    assert read["result"] == "done"


def test_a_task_of_somebody_else_is_as_if_there_were_none(
    service: Service, ada: httpx.Client
) -> None:
    others = submit(service, service.signed_in("bert"))

    for path in ("/events?topics=tasks,task:{}", "/tasks/{}/events"):
        theirs, none = ada.get(path.format(others)), ada.get(path.format("none"))
        assert_problem(theirs, 404, "task_not_found")
        assert theirs.json()["detail"].replace(others, "none") == none.json()["detail"]


def test_a_tasks_own_stream_ends_with_it(service: Service, ada: httpx.Client) -> None:
    task_id = submit(service, ada)

    with watching(ada, f"/tasks/{task_id}/events") as stream:
        first = stream.next("task")
        finish(service, f"/{task_id}")
        say(service, task_id)
        rest = stream.rest()
    again = ada.get(f"/tasks/{task_id}/events", headers={"last-event-id": rest[-1].id})

    assert first.id == "1"
    assert rest[-1].data["status"] == "completed"
    assert rest[-1].id == str(rest[-1].data["version"])
    assert again.status_code == 204


def test_a_task_that_has_ended_is_told_once(service: Service, ada: httpx.Client) -> None:
    task_id = submit(service, ada)
    finish(service, f"/{task_id}")

    with watching(ada, f"/tasks/{task_id}/events", last="1") as stream:
        told = stream.rest()

    assert [each.data["status"] for each in told] == ["completed"]


def test_who_knows_a_tasks_version_is_not_told_it_again(
    service: Service, ada: httpx.Client
) -> None:
    task_id = submit(service, ada)

    with watching(ada, f"/tasks/{task_id}/events", last="1") as stream:
        finish(service, f"/{task_id}")
        say(service, task_id)
        told = stream.rest()

    assert [each.data["version"] for each in told] == [int(told[-1].id)]


def until_named(stream: Stream, task_id: str) -> str:
    """Read until a task is named; return that event's id."""
    while task_id not in (told := stream.next("tasks")).data["ids"]:
        continue
    return str(told.id)


def test_who_comes_back_is_told_what_was_missed(service: Service, ada: httpx.Client) -> None:
    with watching(ada, "/events?topics=tasks") as meanwhile:
        with watching(ada, "/events?topics=tasks") as stream:
            one = submit(service, ada)
            say(service, one)
            last = until_named(stream, one)
        two, three = submit(service, ada), submit(service, ada)
        say(service, two)
        until_named(meanwhile, two)
        say(service, three)
        until_named(meanwhile, three)

        with watching(ada, "/events?topics=tasks", last=last) as stream:
            told = stream.next("tasks")

    assert told.data["ids"] == [two, three]
    assert told.id != last


def test_what_nobody_watched_is_told_to_have_been(service: Service, ada: httpx.Client) -> None:
    with watching(ada, "/events?topics=tasks") as stream:
        one = submit(service, ada)
        say(service, one)
        last = until_named(stream, one)
    seats = service.app.state.parts.guests
    wait_until(lambda: not seats._open, "nobody watches")
    say(service, submit(service, ada))
    ring = service.app.state.parts.hub.ring
    wait_until(lambda: len(list(ring.after(int(last.partition("-")[2])))) == 1, "it is heard")

    with watching(ada, "/events?topics=tasks", last=last) as stream:
        told = stream.next("tasks").data

    assert (told["ids"], told["more"]) == ([], True)


@pytest.mark.parametrize("last", ["gone-1", "{hub}-999", "{hub}-x", "nonsense", "{hub}-"])
def test_who_was_away_too_long_is_told_to_ask_anew(
    service: Service, ada: httpx.Client, last: str
) -> None:
    name = service.app.state.parts.hub.name

    with watching(ada, "/events?topics=tasks", last=last.format(hub=name)) as stream:
        told = stream.next()

    assert (told.name, told.data) == ("reset", {})


class Counting:
    """The hub's ledger, with a count of what it is asked."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.looks: list[Sequence[TaskId]] = []

    def look_at(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, TaskReport]:
        """Look."""
        self.looks.append(task_ids)
        found: Mapping[TaskId, TaskReport] = self._real.look_at(task_ids)
        return found

    def count_unfinished(self) -> Mapping[tuple[str, str], int]:
        """Count."""
        found: Mapping[tuple[str, str], int] = self._real.count_unfinished()
        return found


def test_there_is_one_look_for_all_who_watch(service: Service, ada: httpx.Client) -> None:
    the_hub = service.app.state.parts.hub
    the_hub._ledger = counting = Counting(the_hub._ledger)
    task_id = submit(service, ada)

    with ExitStack() as stack:
        path = f"/events?topics=tasks,task:{task_id}"
        streams = [stack.enter_context(watching(ada, path)) for _ in range(10)]
        finish(service, f"/{task_id}")
        before = len(counting.looks)
        say(service, task_id)
        for stream in streams:
            while stream.next("task").data["status"] == "pending":
                continue

    named = [look for look in counting.looks[before:] if task_id in look]
    assert len(named) <= 2


def test_what_cannot_be_heard_is_looked_at(service: Service, ada: httpx.Client) -> None:
    task_id = submit(service, ada)

    with watching(ada, f"/events?topics=tasks,task:{task_id}") as stream:
        say(service)
        service.changes.fall_silent()
        finish(service, f"/{task_id}")
        told = stream.next("tasks")
        while stream.next("task").data["status"] == "pending":
            continue

    assert told.data["more"] is True


def test_a_ledger_that_is_away_breaks_no_stream(service: Service, ada: httpx.Client) -> None:
    task_id = submit(service, ada)

    with watching(ada, f"/events?topics=tasks,task:{task_id}") as stream:
        say(service)
        service.switched.error = LedgerUnavailableError("away")
        say(service, task_id)
        away = stream.next("tasks").data
        service.switched.error = None
        finish(service, f"/{task_id}")
        say(service, task_id)
        while stream.next("task").data["status"] == "pending":
            continue

    # Nobody could look whose task it is, so it is not named.
    assert (away["ids"], away["more"]) == ([], True)


def test_who_comes_is_told_what_can_be_submitted(service: Service, ada: httpx.Client) -> None:
    key = key_client(service, scopes=frozenset({Scope.READ}), task_patterns=("rep*",))

    with watching(ada, "/events?topics=task-types") as stream:
        told = stream.next("task-types").data
    with watching(key, "/events?topics=tasks,task-types") as stream:
        told_key = stream.next("task-types").data

    assert told == {"names": ["process", "report"]}
    assert told_key == {"names": ["report"]}


def test_how_much_is_done_and_waits_is_told_to_operators(
    service: Service, olga: httpx.Client, ada: httpx.Client
) -> None:
    submit(service, ada)
    service.ledger.leases.join(make_worker())

    with watching(olga, "/events?topics=stats") as stream:
        say(service, "a", "b", completed=2)
        told = stream.next("stats").data

    assert set(told) == {"t", "rates", "depths"}
    assert told["depths"] == {"default": {"queued": 1}}
    assert 0 < told["rates"]["completed"] <= 2
    assert told["rates"]["failed"] == 0
    assert_problem(ada.get("/events?topics=stats"), 403, "not_permitted")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?topics=",
        "?topics=everything",
        "?topics=tasks,logs:1",
        "?topics=task:",
        "?topics=task:" + "x" * 256,
        "?topics=" + ",".join(f"task:{number}" for number in range(51)),
        "?topics=tasks&other=1",
    ],
)
def test_a_topic_that_is_none_is_refused(ada: httpx.Client, query: str) -> None:
    assert_problem(ada.get(f"/events{query}"), 422, "invalid_option")


def test_strangers_hear_nothing(service: Service, stranger: httpx.Client) -> None:
    for path in ("/events?topics=tasks", "/tasks/1/events"):
        assert_problem(stranger.get(path), 401, "not_authenticated")


def test_a_browser_watches_with_its_session(service: Service) -> None:
    browser = browser_of(service, "ada")

    with watching(browser.client, "/events?topics=tasks") as stream:
        assert stream.response.status_code == 200
    elsewhere = browser.client.get("/events?topics=tasks", headers={"sec-fetch-site": "cross-site"})

    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "form_refused")


@pytest.mark.parametrize("by", ["session", "token", "key"])
def test_who_is_shown_out_hears_nothing_more(
    service: Service, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    for module in (guests, routes):
        monkeypatch.setattr(module, "CHECKED_SECONDS", 0.05)
    client = {
        "session": lambda: browser_of(service, "ada").client,
        "token": lambda: service.signed_in("ada"),
        "key": lambda: key_client(service),
    }[by]()

    with watching(client, "/events?topics=tasks") as stream:
        service.ledger.users.sign_out("ada")
        if by == "key":
            for key in service.ledger.keys.list("ada"):
                service.ledger.keys.revoke(key.id)
        rest = stream.rest()

    assert not [each for each in rest if each.data["ids"]]


def test_a_token_that_ends_ends_its_stream(
    service: Service, monkeypatch: pytest.MonkeyPatch, ada: httpx.Client
) -> None:
    for module in (guests, routes):
        monkeypatch.setattr(module, "CHECKED_SECONDS", 0.05)

    with watching(ada, "/events?topics=tasks") as stream:
        service.clock.advance(seconds=16 * 60)
        stream.rest()

    assert ada.get("/events?topics=tasks").status_code == 401


def test_what_is_silent_is_kept_alive(
    ada: httpx.Client, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setattr(routes, "_HEARTBEAT_SECONDS", 0.1)

    with watching(ada, "/events?topics=tasks") as stream:
        assert stream.next_comment() == ": still here"


def test_nobody_has_more_streams_than_a_few(service: Service, ada: httpx.Client) -> None:
    bert = service.signed_in("bert")

    with ExitStack() as stack:
        for _ in range(MOST_EACH - 1):
            stack.enter_context(watching(ada, "/events?topics=tasks"))
        with watching(ada, "/events?topics=tasks"):
            refused = ada.get("/events?topics=tasks")
            stack.enter_context(watching(bert, "/events?topics=tasks"))
        seats = service.app.state.parts.guests
        wait_until(lambda: seats._open["ada\0"] < MOST_EACH, "one has left")
        stack.enter_context(watching(ada, "/events?topics=tasks"))

    assert_problem(refused, 429, "too_many_streams")
    assert "retry-after" in refused.headers
    wait_until(lambda: not seats._open, "all have left")
    assert not seats._checked


def test_a_slow_reader_costs_no_memory_and_holds_up_nobody(
    service: Service, olga: httpx.Client
) -> None:
    token = olga.headers["authorization"]
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(20)
    slow.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
    request = f"GET /events?topics=tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
    rounds = 100

    with slow, watching(olga, "/events?topics=tasks") as quick:
        slow.sendall(request.encode())
        raw = b""
        while b"retry: " not in raw:
            raw += slow.recv(2000)
        for number in range(rounds):
            ids = [f"{number}-{each}-{'x' * 200}" for each in range(MOST_NAMED)]
            say(service, *ids)
            # The quick one is told in time, whatever the slow one does.
            while ids[-1] not in quick.next("tasks").data["ids"]:
                continue
        say(service, "last")
        while b'"last"' not in raw:
            raw += slow.recv(1_000_000)

    # Far less than was said: what it had not taken was said in few words.
    assert raw.count(b"event: tasks") < rounds // 2
    assert b'"more":true' in raw.rpartition(b"event: tasks")[2]


def test_streams_end_with_the_service(service: Service, ada: httpx.Client) -> None:
    the_hub = service.app.state.parts.hub

    with watching(ada, "/events?topics=tasks") as stream:
        say(service)
        the_hub.close()
        rest = stream.rest()

    assert all(each.name == "tasks" for each in rest)
    wait_until(lambda: service.changes.stopped == 1, "it listens no more")
    assert stream.response.is_stream_consumed


def test_nobody_listens_for_long_when_nobody_watches(
    service: Service, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_LINGER_SECONDS", 0.05)
    with watching(ada, "/events?topics=tasks"):
        say(service)

    wait_until(lambda: service.changes.stopped == 1, "it listens no more")
    with watching(ada, "/events?topics=tasks") as stream:
        task_id = submit(service, ada)
        wait_until(lambda: service.changes.begun == 2, "it listens again")
        say(service, task_id)
        assert stream.next_list()["ids"] == [task_id]
