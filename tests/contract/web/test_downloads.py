"""Files that go out: whole, harmless, and only to those who may read the task."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from celeriac import File
from celeriac.core.file_reference import FileReference, find_references
from celeriac.core.outcome import Ending
from celeriac.core.task import TaskId
from celeriac.core.user import Role
from celeriac.files.store import keep_stream
from tests.contract.web.problem import assert_problem
from tests.contract.web.service import Server, Service
from tests.contract.web.test_reading import end
from tests.fakes import FunctionCatalogue


def make(file: File | None = None) -> File:
    raise NotImplementedError


def anything(data: Any) -> Any:
    raise NotImplementedError


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Iterator[Service]:
    with Service(
        tmp_path, server, catalogue=FunctionCatalogue(make=make, anything=anything)
    ) as service:
        yield service


def keep(service: Service, name: str, data: bytes, kind: str | None = None) -> FileReference:
    return keep_stream(service.files, io.BytesIO(data), name=name, content_type=kind)


def completed(service: Service, client: httpx.Client, result: Any) -> TaskId:
    task_id = TaskId(client.post("/tasks/make", json={}).json()["task_id"])
    text = json.dumps(result.to_json() if isinstance(result, FileReference) else result)
    end(service, task_id, Ending.COMPLETED, result=text)
    return task_id


def test_a_file_that_was_returned_is_a_download(service: Service, ada: httpx.Client) -> None:
    task_id = completed(service, ada, keep(service, "cat.png", b"meow"))

    response = ada.get(f"/tasks/{task_id}/result")

    assert response.content == b"meow"
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == "4"
    assert response.headers["content-disposition"] == 'attachment; filename="cat.png"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert response.headers["cache-control"] == "no-store"


def test_the_task_says_what_the_file_is_and_where(service: Service, ada: httpx.Client) -> None:
    reference = keep(service, "größe.txt", b"meow")
    task_id = completed(service, ada, {"file": reference.to_json(), "width": 3})

    result = ada.get(f"/tasks/{task_id}").json()["result"]

    assert result["width"] == 3
    assert result["file"] == {
        "name": "größe.txt",
        "content_type": "text/plain",
        "size_bytes": 4,
        "sha256": reference.sha256,
        "url": f"/tasks/{task_id}/files/{reference.id}",
    }
    response = ada.get(result["file"]["url"])
    assert response.content == b"meow"
    assert response.headers["content-disposition"] == (
        "attachment; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
    )


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("a.html", "text/html", "application/octet-stream"),
        ("a.svg", "image/svg+xml", "application/octet-stream"),
        ("a.xml", "text/xml", "application/octet-stream"),
        ("a.js", "text/javascript", "application/octet-stream"),
        ("a", None, "application/octet-stream"),
        ("a.txt", "text/plain", "text/plain; charset=utf-8"),
        ("a.pdf", "application/pdf", "application/pdf"),
    ],
)
def test_only_harmless_content_keeps_its_type(
    service: Service, ada: httpx.Client, name: str, kind: str | None, sent: str
) -> None:
    task_id = completed(service, ada, keep(service, name, b"<script>", kind))

    response = ada.get(f"/tasks/{task_id}/result")

    assert response.headers["content-type"] == sent
    assert response.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ('a"b;c\\d.png', 'attachment; filename="d.png"'),
        ('a"b.png', "attachment; filename=\"a_b.png\"; filename*=UTF-8''a%22b.png"),
        ("100%25.png", "attachment; filename=\"100_25.png\"; filename*=UTF-8''100%2525.png"),
        ("日本.png", "attachment; filename=\"__.png\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.png"),
        ("a\r\nSet-Cookie: b", "attachment; filename=\"a  Set-Cookie_ b\"; filename*=UTF-8''"),
    ],
)
def test_a_name_breaks_out_of_no_header(
    service: Service, ada: httpx.Client, name: str, said: str
) -> None:
    reference = keep(service, "x", b"")
    forged = {**reference.to_json(), "name": name}
    task_id = completed(service, ada, forged)

    response = ada.get(f"/tasks/{task_id}/result")

    assert response.headers["content-disposition"].startswith(said)
    assert "set-cookie" not in response.headers


def test_any_other_result_is_json(service: Service, ada: httpx.Client) -> None:
    task_id = completed(service, ada, {"html": "<script>", "number": 1})

    response = ada.get(f"/tasks/{task_id}/result")

    assert response.json() == {"html": "<script>", "number": 1}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-disposition"] == (
        f'attachment; filename="result-{task_id}.json"'
    )


def test_a_task_without_a_result_has_none_to_download(service: Service, ada: httpx.Client) -> None:
    waits = ada.post("/tasks/make", json={}).json()["task_id"]
    failed = TaskId(ada.post("/tasks/make", json={}).json()["task_id"])
    end(service, failed, Ending.FAILED)

    for task_id in (waits, failed):
        assert_problem(ada.get(f"/tasks/{task_id}/result"), 409, "no_result")


def test_a_file_is_read_by_those_alone_who_may_read_its_task(
    service: Service, ada: httpx.Client
) -> None:
    reference = keep(service, "cat.png", b"meow")
    task_id = completed(service, ada, reference)
    eve, otto = service.signed_in("eve"), service.signed_in("otto", Role.OPERATOR)
    of_eve = completed(service, eve, keep(service, "own.png", b"own"))
    urls = [f"/tasks/{task_id}/result", f"/tasks/{task_id}/files/{reference.id}"]

    for url in urls:
        assert ada.get(url).content == otto.get(url).content == b"meow"
        assert_problem(eve.get(url), 404, "task_not_found")
        assert_problem(service.client().get(url), 401, "not_authenticated")
    # Nor through a task of one's own.
    assert_problem(eve.get(f"/tasks/{of_eve}/files/{reference.id}"), 404, "file_not_found")


def test_nobody_refers_to_a_strangers_file_in_arguments_of_any_kind(
    service: Service, ada: httpx.Client
) -> None:
    reference = keep(service, "cat.png", b"meow")
    completed(service, ada, reference)
    eve = service.signed_in("eve")

    for data in (
        reference.to_json(),
        [{"deep": reference.to_json()}],
        json.dumps(reference.to_json()),
    ):
        response = eve.post("/tasks/anything", json={"data": data})
        assert_problem(response, 422, "invalid_arguments")


def test_a_file_among_the_arguments_is_read_too(service: Service, ada: httpx.Client) -> None:
    task_id = ada.post("/tasks/make", files={"file": ("a.txt", b"meow")}).json()["task_id"]
    [reference] = find_references(json.loads(service.ledger.tasks.get(task_id).arguments.text))

    assert ada.get(f"/tasks/{task_id}/files/{reference.id}").content == b"meow"


@pytest.mark.parametrize("file_id", ["0" * 32, "x", "..%2f..%2fledger.db", "%00"])
def test_what_is_no_file_of_the_task_is_not_found(
    service: Service, ada: httpx.Client, file_id: str
) -> None:
    task_id = completed(service, ada, keep(service, "cat.png", b"meow"))

    response = ada.get(f"/tasks/{task_id}/files/{file_id}")

    assert_problem(response, 404, "not_found" if "%2f" in file_id else "file_not_found")


def test_a_file_that_is_gone_is_told_of(service: Service, ada: httpx.Client) -> None:
    reference = keep(service, "cat.png", b"meow")
    task_id = completed(service, ada, reference)
    service.files.remove([reference.id])

    response = ada.get(f"/tasks/{task_id}/result")

    assert "cat.png" in assert_problem(response, 404, "file_not_found")["detail"]


def test_what_only_looks_like_a_file_stays_what_it_is(service: Service, ada: httpx.Client) -> None:
    looks = {"celeriac_file": "0" * 32}
    task_id = completed(service, ada, looks)

    assert ada.get(f"/tasks/{task_id}").json()["result"] == looks
    assert ada.get(f"/tasks/{task_id}/result").json() == looks


def test_a_part_of_a_file_can_be_asked_for(service: Service, ada: httpx.Client) -> None:
    task_id = completed(service, ada, keep(service, "cat.txt", b"0123456789"))

    response = ada.get(f"/tasks/{task_id}/result", headers={"Range": "bytes=2-4"})

    assert (response.status_code, response.content) == (206, b"234")


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [("bytes=10-", 416, "range_not_satisfiable"), ("bytes=4-2", 400, "broken_header")],
)
def test_a_part_that_is_not_there_is_refused_as_a_problem(
    service: Service, ada: httpx.Client, asked: str, status: int, code: str
) -> None:
    task_id = completed(service, ada, keep(service, "cat.txt", b"0123456789"))

    response = ada.get(f"/tasks/{task_id}/result", headers={"Range": asked})

    assert_problem(response, status, code)
    assert response.headers.get("content-range") == ("bytes */10" if status == 416 else None)


def test_a_range_of_something_else_than_bytes_is_none(service: Service, ada: httpx.Client) -> None:
    task_id = completed(service, ada, keep(service, "cat.txt", b"0123456789"))

    response = ada.get(f"/tasks/{task_id}/result", headers={"Range": "lines=1-2"})

    assert (response.status_code, response.content) == (200, b"0123456789")
