from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from celeriac.core.page import TaskFilter
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Service

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}


def nothing_is_kept(service: Service) -> bool:
    return service.ledger.tasks.list(TaskFilter(), after=None, limit=1).items == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'data': 'x'}",
        b'{"data": "x"} {}',
        b'{"data": "a\nb"}',
        b'{"data": "a\x00b"}',
        b'\xef\xbb\xbf{"data": "x"}',
        b'{"data": "\xff\xfe"}',
        '{"data": "x"}'.encode("utf-16"),
        b"data=x",
    ],
)
def test_what_is_no_json_is_refused(service: Service, ada: httpx.Client, content: bytes) -> None:
    response = ada.post("/tasks/process", content=content, headers=JSON)

    assert_problem(response, 400, "broken_body")
    assert nothing_is_kept(service)


def nested(depth: int) -> bytes:
    return b'{"data": ' + b"[" * depth + b"]" * depth + b"}"


def objects(depth: int) -> bytes:
    return b'{"data": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b'"data"',
        b'{"data": NaN}',
        b'{"data": Infinity}',
        b'{"data": -Infinity}',
        b'{"data": 1e999}',
        b'{"data": ' + b"9" * 5000 + b"}",
        b'{"data": "a\\u0000b"}',
        b'{"a\\u0000b": "x"}',
        b'{"data": "\\ud83d"}',
        b'{"data": "\\ude00\\ud83d"}',
        b'{"data": ["\\ud83d"]}',
        b'{"data": "x", "data": "y"}',
        b'{"data": {"a": 1, "a": 1}}',
        b'{"data": "x", "d\\u0061ta": "y"}',
        nested(64),
        nested(100_000),
        objects(64),
        objects(100_000),
    ],
    ids=lambda content: content[:40],
)
def test_json_that_no_task_can_take_is_refused(
    service: Service, ada: httpx.Client, content: bytes
) -> None:
    response = ada.post("/tasks/process", content=content, headers=JSON)

    assert pointers(assert_problem(response, 422, "invalid_body")) == [""]
    assert nothing_is_kept(service)


@pytest.mark.parametrize("content", [nested(63), objects(63)], ids=["arrays", "objects"])
def test_json_nested_just_deep_enough_is_looked_at(ada: httpx.Client, content: bytes) -> None:
    response = ada.post("/tasks/process", content=content, headers=JSON)

    assert_problem(response, 422, "invalid_arguments")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "x" * 1000,
        "application/json; charset*=x'y'z",
    ],
)
def test_another_content_type_is_refused(ada: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    response = ada.post("/tasks/process", content=b'{"data": "x"}', headers=headers)

    body = assert_problem(response, 415, "unsupported_media_type")
    assert body["fix"] == "send Content-Type: application/json"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;"]
)
def test_json_may_be_announced_in_more_words(ada: httpx.Client, content_type: str) -> None:
    response = ada.post(
        "/tasks/process", content=b'{"data": "x"}', headers={"Content-Type": content_type}
    )

    assert response.status_code == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x-unknown"])
def test_a_packed_body_is_never_unpacked(ada: httpx.Client, encoding: str) -> None:
    bomb = gzip.compress(b'{"data": "' + b"x" * 10 * MIB + b'"}')

    response = ada.post(
        "/tasks/process", content=bomb, headers={**JSON, "Content-Encoding": encoding}
    )

    assert_problem(response, 415, "unsupported_media_type")


def test_a_body_of_just_the_limit_is_taken(ada: httpx.Client) -> None:
    content = b'{"data": "' + b"x" * (MIB - 12) + b'"}'
    assert len(content) == MIB

    assert ada.post("/tasks/process", content=content, headers=JSON).status_code == 202


def test_a_body_over_the_limit_is_refused(service: Service, ada: httpx.Client) -> None:
    content = b'{"data": "' + b"x" * (MIB - 11) + b'"}'

    response = ada.post("/tasks/process", content=content, headers=JSON)

    detail = assert_problem(response, 413, "body_too_large")["detail"]
    assert detail == f"the body of {MIB + 1:,} bytes is larger than {MIB:,} bytes"
    assert nothing_is_kept(service)


def test_an_announced_body_is_refused_before_a_byte_of_it_came(service: Service) -> None:
    token = service.add_user("ada")
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as plug:
        plug.settimeout(10)
        plug.sendall(head(token, "Content-Length: 10737418240"))

        answer = plug.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(service: Service) -> None:
    token = service.add_user("ada")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as plug:
        plug.settimeout(10)
        plug.sendall(head(token, "Transfer-Encoding: chunked"))
        for _ in range(17):
            plug.sendall(chunk)

        # No last chunk was sent: the answer does not wait for it.
        answer = plug.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_in_the_middle_harms_nobody(
    service: Service, ada: httpx.Client
) -> None:
    token = service.add_user("eve")
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as plug:
        plug.sendall(head(token, "Content-Length: 1000") + b'{"data": ')
    time.sleep(0.1)

    assert ada.post("/tasks/process", json={"data": "x"}).status_code == 202
    assert len(service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items) == 1


def head(token: str, *headers: str) -> bytes:
    lines = [
        "POST /tasks/process HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("length", ["abc", "-1", "+5", "1_0", ""])
def test_a_length_that_is_no_number_is_refused(service: Service, length: str) -> None:
    token = service.add_user("ada")
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1]))) as plug:
        plug.settimeout(10)
        plug.sendall(head(token, f"Content-Length: {length}"))

        answer = http.client.HTTPResponse(plug)
        answer.begin()

    assert answer.status == 400


def hostile() -> Iterator[tuple[str, bytes]]:
    yield "depth 100,000", nested(100_000)
    yield "80,000 keys", json.dumps({str(number): 1 for number in range(80_000)}).encode()
    yield "350,000 empty arrays", b'{"data": [' + b"[]," * 349_000 + b"[]]}"
    yield "500,000 numbers", b'{"data": [' + b"1," * 500_000 + b"1]}"
    yield "digits", b'{"data": ' + b"9" * 1_000_000 + b"}"
    yield "escapes", b'{"data": "' + b"\\u0041" * 170_000 + b'"}'


@pytest.mark.parametrize(("what", "content"), [*hostile()], ids=lambda each: str(each)[:20])
def test_a_hostile_body_is_answered_quickly(
    service: Service, ada: httpx.Client, what: str, content: bytes
) -> None:
    assert len(content) <= MIB, what
    ada.post("/tasks/process", json={"data": "x"})
    begun = time.process_time()

    ada.post("/tasks/process", content=content, headers=JSON)

    # The whole process: client, server and the tests. The parser alone takes far less.
    assert time.process_time() - begun < 2
