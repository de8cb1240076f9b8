"""`deploy/nginx/celeriac.conf` in a real nginx, before the real service."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.machine import add_user1, walk_through
from tests.deployment.composed import image_command
from tests.servers.certificate import Certificate, make_certificate
from tests.servers.nginx import NginxServer
from tests.servers.ports import free_port
from tests.servers.processes import PROJECT
from tests.servers.services import ServiceProcess
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

SITE = (PROJECT / "deploy" / "nginx" / "celeriac.conf").read_text()
# Requests a minute: what a test may use up without being in another's way.
LIMIT = 30
MIB = 1024 * 1024


class Front:
    """A service and the nginx before it."""

    def __init__(self, folder: Path, *, upstream_port: int, certificate: Certificate) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.certificate = certificate
        self.url = f"https://127.0.0.1:{self.port}"
        self.tls = ssl.create_default_context(cafile=str(certificate.file))
        self.nginx = NginxServer(
            folder,
            site=SITE,
            replaced={
                "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
                "listen 443 ": f"listen {self.port} ",
                "listen 80;": f"listen {self.plain_port};",
                "/etc/letsencrypt/live/tasks.example.org/fullchain.pem": str(certificate.file),
                "/etc/letsencrypt/live/tasks.example.org/privkey.pem": str(certificate.key),
            },
            port=self.port,
        )

    def client(self, address: str = "127.0.0.1", **more: Any) -> httpx.Client:
        """Return a client that comes from one of this machine's own addresses."""
        transport = httpx.HTTPTransport(verify=self.tls, local_address=address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=20, **more)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def settings(broker: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "CELERIAC_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "CELERIAC_BROKER_URL": broker.url,
        "CELERIAC_TRUSTED_PROXIES": "1",
        "CELERIAC_RATE_LIMIT": f"{LIMIT}/minute",
        "CELERIAC_PROCESS_SECONDS": "0.2",
    }


@pytest.fixture(scope="module")
def service(
    settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    # With the options of the image: which header is believed is not the server's to guess.
    options = image_command()
    added = options[options.index("8000") + 1 :]
    service = ServiceProcess(
        folder=tmp_path_factory.mktemp("service"), environment=settings, arguments=added
    )
    service.start_ready()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def front(
    service: ServiceProcess, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front") / "nginx"
    front = Front(folder, upstream_port=service.port, certificate=certificate)
    with front.nginx:
        yield front


@pytest.fixture(autouse=True)
def nobody_has_asked_yet(broker: ValkeyServer) -> None:
    """Let no test begin with what another has used up of a limit."""
    for key in broker.client().keys("*celeriac:limits*"):
        broker.client().delete(key)


def use_up(client: httpx.Client) -> None:
    """Ask until the address may ask no more."""
    answers = [client.get("/tasks").status_code for _ in range(LIMIT + 1)]
    assert answers[0] == 401
    assert answers[-1] == 429


def test_each_address_has_a_count_of_its_own(front: Front) -> None:
    with front.client("127.0.0.2") as one, front.client("127.0.0.3") as other:
        use_up(one)

        assert other.get("/tasks").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-For": "192.0.2.7, 127.0.0.3"},
        {"X-Real-IP": "192.0.2.7", "Forwarded": "for=192.0.2.7"},
    ],
)
def test_a_client_that_lies_about_its_address_is_not_believed(
    front: Front, headers: dict[str, str]
) -> None:
    with front.client("127.0.0.2") as client:
        use_up(client)

        assert client.get("/tasks", headers=headers).status_code == 429


@pytest.mark.parametrize(
    ("path", "size"),
    [
        # Refused by the service, and by nginx before it.
        ("/tasks/process", MIB + 1),
        ("/tasks/process", 23 * MIB),
        ("/tasks:batch", 8 * MIB + 1),
        ("/tasks:batch", 10 * MIB),
        ("/token", 17 * 1024),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["counted", "chunked"])
def test_a_body_that_is_too_large_is_refused_in_the_same_words(
    front: Front, path: str, size: int, *, is_chunked: bool
) -> None:
    add = {"Authorization": f"Bearer {token(front)}"} if path != "/token" else {}
    content_type = "application/x-www-form-urlencoded" if path == "/token" else "application/json"
    body = b" " * size

    with front.client() as client:
        refused = client.post(
            path,
            content=iter([body]) if is_chunked else body,
            headers={**add, "Content-Type": content_type},
        )

    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "body_too_large"


@pytest.mark.parametrize(("size", "status"), [(19 * MIB, 202), (21 * MIB, 413)])
def test_a_file_comes_through_up_to_the_services_own_limit(
    front: Front, size: int, status: int
) -> None:
    with front.client() as client:
        answer = client.post(
            "/tasks/image.grayscale",
            files={"image": ("large.png", bytes(size), "image/png")},
            headers={"Authorization": f"Bearer {token(front)}"},
        )

    assert answer.status_code == status, answer.text


def token(front: Front) -> str:
    with front.client() as client:
        form = {"username": "user1", "password": "password1"}
        answer = client.post("/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.fixture(scope="module", autouse=True)
def user1(settings: dict[str, str]) -> None:
    add_user1(settings)


def test_data_is_compressed_and_pages_with_secrets_are_not(front: Front) -> None:
    with front.client(headers={"Accept-Encoding": "gzip"}) as client:
        described = client.get("/openapi.json")
        page = client.get("/ui/sign-in")
        style = client.get(re.findall(r'href="(/ui/static/[^"]+\.css[^"]*)"', page.text)[0])

    assert described.headers["content-encoding"] == "gzip"
    assert described.json()["openapi"].startswith("3.")
    assert style.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in page.headers


def test_the_three_calls_go_through(
    front: Front, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate.file))

    with WorkerProcess("celery_app", folder=tmp_path, environment=settings) as worker:
        worker.wait_ready()
        walk_through(front.url)


@pytest.mark.parametrize("path", ["/tasks", "/ui", "/ui/submit", "/ui/tasks", "/flower", "/"])
def test_every_path_is_answered_as_without_a_proxy(
    front: Front, service: ServiceProcess, path: str
) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    with front.client() as client:
        through = client.get(path)
    beside = httpx.get(f"{service.url}{path}", headers=headers)

    assert (through.status_code, through.headers.get("location")) == (
        beside.status_code,
        beside.headers.get("location"),
    )


def test_cookies_are_marked_for_tls_and_the_browser_is_told_to_stay(front: Front) -> None:
    with front.client() as client:
        page = client.get("/ui/sign-in")

    cookies = page.headers.get_list("set-cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert "secure" in cookie.lower()
    assert page.headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert "nginx/" not in page.headers["server"]


def test_an_api_tells_it_too(front: Front) -> None:
    with front.client() as client:
        refused = client.get("/tasks")

    assert refused.headers.get_list("strict-transport-security") == ["max-age=31536000"]


def test_plain_http_is_led_to_tls(front: Front) -> None:
    led = httpx.get(f"http://127.0.0.1:{front.plain_port}/ui/tasks?state=failed")

    assert led.status_code == 301
    assert led.headers["location"] == "https://tasks.example.org/ui/tasks?state=failed"


def test_a_service_that_is_away_is_told_as_a_problem(
    certificate: Certificate, tmp_path: Path
) -> None:
    front = Front(tmp_path / "nginx", upstream_port=free_port(), certificate=certificate)
    with front.nginx, front.client() as client:
        away = client.get("/tasks")

    assert away.status_code == 503
    assert away.headers["content-type"] == "application/problem+json"
    assert away.headers["retry-after"] == "5"
    assert away.json()["code"] == "unavailable"


def test_a_tasks_news_come_through_as_they_happen(front: Front) -> None:
    with front.client(headers={"Authorization": f"Bearer {token(front)}"}) as client:
        later = client.post("/tasks/process", json={"data": "x"}, params={"delay_seconds": 3600})
        where = later.headers["location"]
        with client.stream("GET", f"{where}/events") as answer:
            lines = (line for line in answer.iter_lines() if line.startswith("data:"))

            first = next(lines)
            client.post(f"{where}/cancel")
            last = next(lines)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"state":"scheduled"' in first
    assert '"state":"cancelled"' in last


def test_news_arrive_while_the_answer_goes_on(certificate: Certificate, tmp_path: Path) -> None:
    with Teller() as teller:
        front = Front(tmp_path / "nginx", upstream_port=teller.port, certificate=certificate)
        with (
            front.nginx,
            front.client(headers={"Accept-Encoding": "gzip"}) as client,
            client.stream("GET", "/events") as answer,
        ):
            lines = answer.iter_lines()

            first = next(lines)

            # The second is sent when the first has arrived here, and not before.
            assert not teller.go_on.is_set()
            teller.go_on.set()
            assert [first, *lines] == ["data: 1", "data: 2"]


class Teller:
    """Answers one request with a piece of news, and with the next when it is told to."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.go_on = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Teller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._listening.close()
        self._thread.join(20)

    def _tell(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(head + b"data: 1\n")
            # Ends without it when the first did not get through.
            if not self.go_on.wait(20):
                return
            connection.sendall(b"data: 2\n")


def test_no_log_has_the_links_of_people(front: Front, service: ServiceProcess) -> None:
    path = "/start/user.QWRh.a-link-that-nobody-made"
    with front.client("127.0.0.9") as client:
        assert client.get(path).status_code == 404
        assert client.get("/healthz").status_code == 200
    httpx.get(f"http://127.0.0.1:{front.plain_port}{path}")
    front.nginx.wait_until(
        lambda: "/healthz" in front.nginx.access_log.read_text(), "it has logged"
    )

    assert "a-link" not in front.nginx.access_log.read_text()
    assert "a-link" not in service.log_text()


def test_no_log_of_errors_has_the_links_of_people(certificate: Certificate, tmp_path: Path) -> None:
    front = Front(tmp_path / "nginx", upstream_port=free_port(), certificate=certificate)
    with front.nginx, front.client() as client:
        assert client.get("/start/user.QWRh.a-link").status_code == 502
        assert client.get("/ui").status_code == 502
        front.nginx.wait_for_log("GET /ui")

    assert "a-link" not in front.nginx.log_text()
