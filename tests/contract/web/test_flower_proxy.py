"""What goes to Flower and what comes back, before a server that keeps every byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from celeriac.core.user import Role
from celeriac.web.flower.upstream import MOST_AT_ONCE
from tests.contract.web.browser import Browser, browser_of
from tests.contract.web.problem import assert_problem
from tests.contract.web.recorder import Recorder
from tests.contract.web.service import Server, Service
from tests.servers.ports import free_port

HTML = {"accept": "text/html"}
HERE = {"sec-fetch-site": "same-origin", "x-requested-with": "XMLHttpRequest"}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def service(tmp_path: Path, server: Server, recorder: Recorder) -> Iterator[Service]:
    with Service(tmp_path, server, flower_url=recorder.url) as service:
        yield service


@pytest.fixture
def olga(service: Service) -> Browser:
    """A browser of an operator."""
    return browser_of(service, "olga", Role.OPERATOR)


def test_nothing_of_ours_goes_to_flower(olga: Browser, recorder: Recorder) -> None:
    olga.client.get("/flower/workers?json=1", headers={"x-forwarded-for": "1.2.3.4", **HERE})

    lines = recorder.last.splitlines()
    assert lines[0] == "get /flower/workers?json=1 http/1.1"
    names = {line.partition(":")[0] for line in lines[1:]}
    assert names == {"host", "connection", "authorization", "accept", "x-requested-with"}
    assert f"host: 127.0.0.1:{recorder.port}" in lines
    assert "authorization: basic y2vszxjpywm6c2vjcmv0" in lines
    assert "celeriac_session" not in recorder.last


def test_blanks_round_a_value_are_left_out(
    olga: Browser, service: Service, recorder: Recorder
) -> None:
    cookies = "; ".join(f"{name}={value}" for name, value in olga.client.cookies.items())
    address = urlsplit(service.url)

    # An HTTP library of today sends none.
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=20)) as connection:
        connection.request(
            "GET", "/flower/workers", headers={"Cookie": cookies, "Accept": "text/html \t"}
        )
        status = connection.getresponse().status

    assert status == 200
    assert "accept: text/html" in recorder.last.splitlines()


def test_a_programs_key_stays_here(service: Service, recorder: Recorder) -> None:
    client = service.signed_in("olga", Role.OPERATOR)

    assert client.get("/flower/metrics").text == "ok"

    assert recorder.last.count("authorization") == 1
    assert "bearer" not in recorder.last


def test_hop_by_hop_headers_are_dropped(olga: Browser, recorder: Recorder) -> None:
    hops = {"connection": "x-secret", "x-secret": "1", "te": "trailers", "upgrade": "websocket"}

    olga.client.get("/flower/", headers=hops)

    assert not {"x-secret", "te:", "upgrade", "keep-alive"} & set(recorder.last.split())
    assert "x-secret" not in recorder.last


def test_a_body_goes_on_as_it_is(olga: Browser, recorder: Recorder) -> None:
    answer = olga.client.post("/flower/api/task/revoke/1", data={"terminate": "true"}, headers=HERE)

    assert answer.text == "ok"
    head, _, body = recorder.requests[-1].partition("\r\n\r\n")
    assert body == "terminate=true"
    assert "content-length: 14" in head.lower()
    assert "content-type: application/x-www-form-urlencoded" in head.lower()
    assert "transfer-encoding" not in head.lower()


def test_what_a_look_brings_along_stays_here(olga: Browser, recorder: Recorder) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}

    olga.client.request("GET", "/flower/workers", content=b"refresh=1", headers=form)

    assert recorder.requests[-1].endswith("\r\n\r\n")
    assert "content-length" not in recorder.last


def test_what_is_done_through_flower_is_in_the_audit_trail_and_the_log(
    olga: Browser, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="celeriac.web.flower")

    olga.client.post("/flower/tasks/datatable", data={"draw": "1"}, headers=HERE)
    form = {"n": "2", "password": "canary"}
    olga.client.post("/flower/api/worker/pool/grow/w%40host", data=form, headers=HERE)

    (entry,) = service.ledger.audit.list()
    assert (entry.actor, entry.action, entry.subject) == ("olga", "worker.pool_grow", "w@host")
    assert entry.facts == {"via": "flower", "n": "2"}
    (said,) = [each for each in caplog.records if each.name.startswith("celeriac.web.flower")]
    assert vars(said)["user"] == "olga"
    assert vars(said)["subject"] == "w@host"


def test_flowers_own_headers_and_cookies_stay_behind(olga: Browser, recorder: Recorder) -> None:
    recorder.answer = (
        b"HTTP/1.1 200 OK\r\nServer: TornadoServer/6\r\nSet-Cookie: _xsrf=1\r\n"
        b"Access-Control-Allow-Origin: *\r\nContent-Type: text/html\r\nETag: abc\r\n"
        b"X-Anything: 1\r\nContent-Length: 2\r\n\r\nok"
    )

    answer = olga.client.get("/flower/")

    assert (answer.text, answer.headers["etag"]) == ("ok", "abc")
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert "x-anything" not in answer.headers
    assert "Tornado" not in str(answer.headers)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "unsafe-inline" not in answer.headers["content-security-policy"].split("style-src")[0]


def test_an_answer_is_passed_on_as_it_comes(olga: Browser, recorder: Recorder) -> None:
    recorder.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    recorder.rest = b"4\r\nlast\r\n0\r\n\r\n"

    with olga.client.stream("GET", "/flower/") as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        recorder.go_on.set()
        rest = b"".join(chunks)

    assert (first, rest) == (b"first", b"last")


def test_whoever_leaves_leaves_no_connection_behind(olga: Browser, recorder: Recorder) -> None:
    recorder.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx"

    with olga.client.stream("GET", "/flower/") as answer:
        next(answer.iter_raw())

    assert recorder.hung_up.wait(10)


def test_flower_that_is_away_is_a_page_that_says_what_helps(tmp_path: Path, server: Server) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Service(tmp_path / "away", server, flower_url=url) as service:
        olga = browser_of(service, "olga", Role.OPERATOR)
        page = olga.client.get("/flower/", headers=HTML)
        line = olga.client.get("/flower/workers?json=1", headers=HERE)
        problem = service.signed_in("key", Role.OPERATOR).get("/flower/metrics")

    assert page.status_code == 503
    assert "Flower does not answer" in page.text
    assert "What helps" in page.text
    assert page.headers["retry-after"] == "2"
    assert (line.status_code, line.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert line.headers["retry-after"] == "2"
    assert_problem(problem, 503, "flower_away")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        # Our password is not its own.
        (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 502),
        # It has a sign-in of its own.
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", 502),
        # Its page for a failure shows its settings.
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 6\r\n\r\nsecret", 502),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 502),
    ],
)
def test_what_is_not_flowers_answer_is_not_passed_on(
    olga: Browser, recorder: Recorder, answer: bytes, status: int
) -> None:
    recorder.answer = answer

    page = olga.client.get("/flower/", headers=HTML)

    assert page.status_code == status
    assert "www-authenticate" not in page.headers
    assert "location" not in page.headers
    assert "secret" not in page.text
    assert "<h1>Flower is out of order</h1>" in page.text


def test_an_answer_that_is_cut_off_is_no_whole_answer(olga: Browser, recorder: Recorder) -> None:
    recorder.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    recorder.rest = b" "
    recorder.go_on.set()

    with pytest.raises(httpx.RemoteProtocolError):
        olga.client.get("/flower/")


def test_a_body_that_no_page_of_flowers_sends_is_refused(olga: Browser, recorder: Recorder) -> None:
    answer = olga.client.post(
        "/flower/api/task/revoke/1", content=b"x" * 100_000, headers={**HERE, **HTML}
    )

    assert answer.status_code == 413
    assert recorder.requests == []


def test_a_crowd_that_waits_for_flower_grows_no_further(
    service: Service, olga: Browser, recorder: Recorder
) -> None:
    upstream = service.app.state.parts.flower
    upstream._at_once = MOST_AT_ONCE

    answer = olga.client.get("/flower/", headers=HTML)

    assert answer.status_code == 503
    assert recorder.requests == []


@pytest.mark.parametrize(
    "path",
    ["/flower/a%20b%0d%0aX: 1", "/%66lower/workers", "/flower/%E2%82%AC", "/flower//workers"],
)
def test_a_path_that_flower_has_not_is_not_passed_on(
    olga: Browser, recorder: Recorder, path: str
) -> None:
    answer = olga.client.get(path, headers=HTML)

    assert answer.status_code == 404
    assert recorder.requests == []


def test_a_list_that_is_none_is_flowers_fault(service: Service, recorder: Recorder) -> None:
    ada = browser_of(service, "ada")
    recorder.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{}]"

    answer = ada.client.post("/flower/tasks/datatable", data={"draw": "1"}, headers=HERE)

    assert answer.status_code == 502


def test_without_flower_there_is_no_link_and_a_page_that_says_so(
    tmp_path: Path, server: Server
) -> None:
    with Service(tmp_path / "none", server) as service:
        olga = browser_of(service, "olga", Role.OPERATOR)
        page = olga.client.get("/flower/", headers=HTML)
        tasks = olga.get("/ui/tasks")

    assert page.status_code == 404
    assert "CELERIAC_FLOWER_URL" in page.text
    assert "/flower" not in tasks.text


def test_with_flower_there_is_a_link(olga: Browser) -> None:
    assert 'href="/flower/"' in olga.get("/ui/tasks").text
