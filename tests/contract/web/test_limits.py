"""How often one may ask, counted in a real broker."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from celeriac.core.user import Role, Scope
from celeriac.service.keys import KeyRequest, KeyService
from celeriac.web.limits import Limiter, Rule
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import PASSWORD, Server, Service
from tests.servers.ports import free_port
from tests.servers.valkey import ValkeyServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _nothing_counted(broker: ValkeyServer) -> None:
    if not broker.is_running:
        broker.start()
    broker.client().flushall()


@pytest.fixture
def service(tmp_path: Path, server: Server, broker: ValkeyServer) -> Iterator[Service]:
    with Service(
        tmp_path, server, broker_url=broker.url, rate_limit="5/minute", login_limit="3/minute"
    ) as service:
        yield service


def statuses(client: httpx.Client, count: int, path: str = "/task-types") -> list[int]:
    return [client.get(path).status_code for _ in range(count)]


def sign_in(client: httpx.Client, name: str, password: str = "wrong") -> httpx.Response:
    return client.post("/token", data={"username": name, "password": password})


def test_one_request_too_many_is_refused_until_later(service: Service, ada: httpx.Client) -> None:
    assert statuses(ada, 5) == [200] * 5

    response = ada.get("/task-types")

    body = assert_problem(response, 429, "rate_limited")
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert "try again in" in body["detail"]


def test_a_refused_submission_is_not_kept(service: Service, ada: httpx.Client) -> None:
    statuses(ada, 5)

    assert_problem(ada.post("/tasks/process", json={"data": "x"}), 429, "rate_limited")

    assert service.publisher.rung == []


def test_answers_say_how_the_rules_stand(service: Service, ada: httpx.Client) -> None:
    first, *_, sixth = [ada.get("/task-types") for _ in range(6)]

    policy = '"user";q=5;w=60, "address";q=5;w=60'
    assert first.headers["ratelimit-policy"] == sixth.headers["ratelimit-policy"] == policy
    assert re.fullmatch(r'"user";r=4;t=\d+', first.headers["ratelimit"])
    assert re.fullmatch(r'"address";r=0;t=\d+', sixth.headers["ratelimit"])


@pytest.mark.parametrize(
    "path",
    [
        "/task-types",
        "/task-types/process",
        "/task-types?x=1",
        "/tasks",
        "/tasks/some-id",
        "/%74asks",
    ],
)
def test_all_paths_share_one_count(ada: httpx.Client, path: str) -> None:
    statuses(ada, 5)

    assert_problem(ada.get(path), 429, "rate_limited")


def test_two_tokens_of_one_user_share_one_count(service: Service, ada: httpx.Client) -> None:
    user = service.ledger.users.find("ada")
    assert user is not None
    other = service.client(service.tokens.issue(user).text)

    statuses(ada, 5)

    assert_problem(other.get("/task-types"), 429, "rate_limited")


def test_all_keys_of_a_user_share_one_count(service: Service, ada: httpx.Client) -> None:
    keys = KeyService(service.ledger, now=service.clock)
    wish = KeyRequest(user="ada", label="ci", scopes=frozenset({Scope.READ}))
    first, second = (service.client(keys.create_key(wish).text) for _ in range(2))
    # Whose a key is, is known when it was let in once.
    statuses(first, 1)
    statuses(second, 1)

    left = [each.get("/task-types").headers["ratelimit"] for each in (first, second, ada)]

    assert [each.partition(";t")[0] for each in left] == [f'"user";r={n}' for n in (4, 3, 2)]


def test_guessing_tokens_counts_too(stranger: httpx.Client, ada: httpx.Client) -> None:
    assert statuses(stranger, 6) == [401] * 5 + [429]


def test_the_probes_and_the_description_are_never_refused(
    ada: httpx.Client, stranger: httpx.Client
) -> None:
    statuses(ada, 6)

    assert statuses(stranger, 3, "/healthz") == [200] * 3
    assert statuses(stranger, 3, "/readyz") == [200] * 3
    assert statuses(stranger, 3, "/openapi.json") == [200] * 3


def test_all_processes_share_one_count(
    ada: httpx.Client, tmp_path: Path, broker: ValkeyServer
) -> None:
    statuses(ada, 3)

    with (
        closing(Server()) as second,
        Service(tmp_path / "other", second, broker_url=broker.url, rate_limit="5/minute") as other,
    ):
        elsewhere = other.signed_in("ada")

        assert statuses(elsewhere, 3) == [200, 200, 429]


def test_requests_at_the_same_moment_are_counted_each(service: Service, ada: httpx.Client) -> None:
    token = service.add_user("eve")
    together = threading.Barrier(12)
    seen: list[int] = []

    def ask() -> None:
        client = service.client(token)
        together.wait()
        seen.append(client.get("/task-types").status_code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen) == [200] * 5 + [429] * 7


def test_the_broker_learns_no_name_that_was_tried(
    service: Service, stranger: httpx.Client, broker: ValkeyServer
) -> None:
    sign_in(stranger, "somebodys-private-name")

    keys = [str(key) for key in broker.client().keys("*")]
    assert keys
    assert all("celeriac:limits" in key for key in keys)
    assert not any("private" in key for key in keys)


def test_guesses_at_one_name_are_refused_before_the_password_is_looked_at(
    service: Service, stranger: httpx.Client
) -> None:
    service.add_user("ada")

    guesses = [sign_in(stranger, "ada").status_code for _ in range(4)]
    right = sign_in(stranger, "ada", PASSWORD)

    assert guesses == [401, 401, 401, 429]
    assert_problem(right, 429, "rate_limited")


@pytest.mark.parametrize("name", ["ADA", "Ada", " ada", "ada "])
def test_another_spelling_of_a_name_is_the_same_name(
    service: Service, stranger: httpx.Client, name: str
) -> None:
    for _ in range(3):
        sign_in(stranger, "ada")

    assert_problem(sign_in(stranger, name), 429, "rate_limited")


def test_one_address_tries_many_names_only_so_often(
    service: Service, stranger: httpx.Client
) -> None:
    tried = [sign_in(stranger, f"name-{number}").status_code for number in range(16)]

    assert tried == [401] * 15 + [429]


def test_guesses_from_seconddo_not_lock_the_owner_out(
    tmp_path: Path, server: Server, broker: ValkeyServer
) -> None:
    with Service(
        tmp_path, server, broker_url=broker.url, login_limit="3/minute", trusted_proxies=1
    ) as service:
        service.add_user("ada")
        attacker = service.client(**{"X-Forwarded-For": "203.0.113.9"})
        owner = service.client(**{"X-Forwarded-For": "198.51.100.7"})

        guesses = [sign_in(attacker, "ada").status_code for _ in range(4)]

        assert guesses == [401, 401, 401, 429]
        assert sign_in(owner, "ada", PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP"]
)
def test_an_address_that_a_client_writes_itself_is_not_believed(
    service: Service, header: str
) -> None:
    tried = []
    for number in range(6):
        address = f"198.51.100.{number}"
        value = f"for={address}" if header == "Forwarded" else address
        tried.append(service.client(**{header: value}).get("/task-types").status_code)

    assert tried == [401] * 5 + [429]


def test_an_address_with_a_port_is_not_believed_either(service: Service) -> None:
    tried = [
        service.client(**{"X-Forwarded-For": f"198.51.100.{number}:{5000 + number}"})
        .get("/task-types")
        .status_code
        for number in range(6)
    ]

    assert tried == [401] * 5 + [429]


def test_behind_one_proxy_only_what_it_added_is_believed(
    tmp_path: Path, server: Server, broker: ValkeyServer
) -> None:
    with Service(
        tmp_path, server, broker_url=broker.url, rate_limit="2/minute", trusted_proxies=1
    ) as service:

        def ask(forwarded: str) -> int:
            client = service.client(**{"X-Forwarded-For": forwarded})
            return client.get("/task-types").status_code

        # The client makes up what stands on the left; the proxy writes the rightmost.
        same = [ask(f"10.0.0.{number}, 203.0.113.9") for number in range(3)]
        other = ask("203.0.113.9, 198.51.100.7")
        neighbours = [ask(f"2001:db8:1:2::{number}") for number in range(3)]

        assert same == [401, 401, 429]
        assert other == 401
        assert neighbours == [401, 401, 429]


def test_a_broker_that_is_away_leaves_a_limit_in_each_process(
    tmp_path: Path, server: Server
) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with Service(
        tmp_path, server, broker_url=nowhere, rate_limit="5/minute", login_limit="3/minute"
    ) as service:
        ada = service.signed_in("ada")
        stranger = service.client()

        guesses = [sign_in(stranger, "ada").status_code for _ in range(4)]

        assert guesses == [401, 401, 401, 429]
        assert statuses(ada, 6) == [200] * 5 + [429]


def test_a_broker_that_comes_back_is_counted_in_again(
    tmp_path: Path, server: Server, broker: ValkeyServer
) -> None:
    with Service(tmp_path, server, broker_url=broker.url, rate_limit="5/minute") as service:
        ada = service.signed_in("ada")
        assert statuses(ada, 1) == [200]

        broker.stop()
        assert statuses(ada, 1) == [200]
        broker.start()
        service.limiter._away_until = 0.0
        assert statuses(ada, 1) == [200]

        assert broker.client().keys("*")


def test_a_broker_that_hangs_does_not_hang_the_service(
    tmp_path: Path, server: Server, broker: ValkeyServer
) -> None:
    with Service(tmp_path, server, broker_url=broker.url, rate_limit="5/minute") as service:
        ada = service.signed_in("ada", Role.OPERATOR)
        statuses(ada, 1)

        broker.signal(signal.SIGSTOP)
        try:
            response = ada.get("/task-types")
        finally:
            broker.signal(signal.SIGCONT)

        assert response.status_code == 200
        assert response.elapsed.total_seconds() < 2


def test_counting_goes_on_at_a_broker_that_has_moved(broker: ValkeyServer) -> None:
    places = [f"redis://127.0.0.1:{free_port()}/0"]
    now = [0.0]
    limiter = Limiter(lambda: places[-1], monotonic=lambda: now[0])
    rule = Rule.from_text("user", "5/minute")

    async def count() -> None:
        await limiter.count(rule, "ada")
        places.append(broker.url)
        # Told while it asks at the old place, and asks at the new one from then on.
        now[0] += 60
        await limiter.count(rule, "ada")
        await limiter.count(rule, "ada")
        await limiter.close()

    asyncio.run(count())

    assert broker.client().keys("*") != []
