"""Files that come with a submission: kept beside the ledger, limited, and nobody's path."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil  # type: ignore[import-untyped] # ships none
import pytest
from pydantic import Field

from celeriac import File
from celeriac.core.file_reference import FileReference, find_references
from celeriac.core.page import TaskFilter
from celeriac.core.task import TaskId
from celeriac.core.user import Role
from celeriac.errors import CommitInDoubtError, LedgerUnavailableError
from tests.contract.web.problem import assert_problem, pointers
from tests.contract.web.service import Server, Service
from tests.fakes import FunctionCatalogue
from tests.servers.processes import wait_until

MIB = 1024 * 1024
CAT = b"\x89PNG a cat"


def look(
    image: Annotated[File, "image/*"],
    width: Annotated[int, Field(ge=1)] = 1,
    note: str = "",
    tags: list[str] = [],  # noqa: B006 - never called
    box: dict[str, int] | None = None,
) -> None:
    raise NotImplementedError


def store(files: list[File], one: File | None = None) -> None:
    raise NotImplementedError


def plain(data: str) -> None:
    raise NotImplementedError


CATALOGUE = FunctionCatalogue(look=look, store=store, plain=plain)


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Iterator[Service]:
    limits: Any = {"max_upload_bytes": 4 * MIB, "max_body_bytes": 64 * 1024}
    with Service(tmp_path, server, catalogue=CATALOGUE, **limits) as service:
        yield service


def kept(service: Service) -> list[TaskId]:
    page = service.ledger.tasks.list(TaskFilter(), after=None, limit=200)
    return [task.id for task in page.items]


def files(service: Service) -> list[Path]:
    """Everything in the files' folder, drafts too."""
    return sorted(each for each in service.settings.files_folder.rglob("*") if each.is_file())


def references(service: Service, task_id: str) -> list[FileReference]:
    return find_references(json.loads(service.ledger.tasks.get(task_id).arguments.text))


def cat(name: str = "cat.png", data: bytes = CAT, kind: str = "image/png") -> Any:
    return (name, data, kind)


def form(*parts: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a body of parts as they are, and its header."""
    body = b"".join(b"--cut\r\n" + part + b"\r\n" for part in parts) + b"--cut--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=cut"}


def part(disposition: str, data: bytes = CAT, *more: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def test_a_file_is_kept_beside_the_row_and_for_its_owner_alone(
    service: Service, ada: httpx.Client
) -> None:
    response = ada.post("/tasks/look", files={"image": cat()}, data={"width": "2"})

    assert response.status_code == 202, response.text
    task_id = response.json()["task_id"]
    [reference] = references(service, task_id)
    assert (reference.name, reference.content_type) == ("cat.png", "image/png")
    assert reference.size_bytes == len(CAT)
    assert reference.sha256 == hashlib.sha256(CAT).hexdigest()
    [path] = files(service)
    assert path.read_bytes() == CAT
    assert path.name == reference.id
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert "cat" not in str(path.relative_to(service.settings.files_folder))
    assert service.ledger.sweeps.held_files([reference.id]) == {reference.id}


def test_texts_of_a_form_are_read_by_the_schema(service: Service, ada: httpx.Client) -> None:
    parts = [
        ("image", cat()),
        ("width", (None, b"7")),
        ("note", (None, b'"5"')),
        ("tags", (None, b"5")),
        ("tags", (None, "größe".encode())),
        ("box", (None, b'{"x": 1}', "application/json")),
    ]

    response = ada.post("/tasks/look", files=parts)

    assert response.status_code == 202, response.text
    _, kwargs = json.loads(service.ledger.tasks.get(response.json()["task_id"]).arguments.text)
    del kwargs["image"]
    assert kwargs == {"width": 7, "note": '"5"', "tags": ["5", "größe"], "box": {"x": 1}}


def test_a_list_of_files_keeps_its_order(service: Service, ada: httpx.Client) -> None:
    parts = [("files", cat(f"{number}.bin", bytes([number]))) for number in range(3)]

    task_id = ada.post("/tasks/store", files=parts).json()["task_id"]

    assert [each.name for each in references(service, task_id)] == ["0.bin", "1.bin", "2.bin"]
    assert len(files(service)) == 3


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\fakepath\\cat.png", "cat.png"),
        ("/absolute/cat.png", "cat.png"),
        ("..", "file"),
        (".", "file"),
        ("   ", "file"),
        ("größe 日本 🐈.png", "größe 日本 🐈.png"),
        ("a%22b'c;d.png", "a\"b'c;d.png"),
        ("a%0D%0ASet-Cookie: x.png", "a  Set-Cookie: x.png"),
        # turns the direction of writing, so that it looks like a picture
        ("cat\u202egnp.exe", "catgnp.exe"),
        ("nul\tbell\x07.png", "nul bell.png"),
        ("x" * 400 + ".png", "x" * 196 + ".png"),
        ("trailing. . .", "trailing"),
    ],
)
def test_a_name_is_only_a_name(service: Service, ada: httpx.Client, sent: str, name: str) -> None:
    body, header = form(part(f'name="image"; filename="{sent}"', CAT, "Content-Type: image/png"))

    response = ada.post("/tasks/look", content=body, headers=header)

    assert response.status_code == 202, response.text
    [reference] = references(service, response.json()["task_id"])
    assert reference.name == name
    [path] = files(service)
    assert path.is_relative_to(service.settings.files_folder)


def test_an_empty_file_is_a_file(service: Service, ada: httpx.Client) -> None:
    task_id = ada.post("/tasks/look", files={"image": cat(data=b"")}).json()["task_id"]

    assert [each.size_bytes for each in references(service, task_id)] == [0]
    assert [path.read_bytes() for path in files(service)] == [b""]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        # missing
        ([("width", (None, b"1"))], "/image"),
        # what a browser sends when nothing was chosen
        ([("image", ("", b"", "application/octet-stream"))], "/image"),
        # two where one is wanted
        ([("image", cat()), ("image", cat())], "/image"),
        # another field
        ([("image", cat()), ("picture", cat())], "/picture"),
        ([("image", cat()), ("width", cat())], "/width"),
        # a text in its place
        ([("image", (None, b"cat.png"))], "/image"),
        ([("image", (None, b'{"celeriac_file": "x"}', "application/json"))], "/image"),
        # of another type than the function takes
        ([("image", cat(kind="text/html"))], "/image"),
        # arguments beside it
        ([("image", cat()), ("width", (None, b"0"))], "/width"),
        ([("image", cat()), ("width", (None, b"wide"))], "/width"),
        ([("image", cat()), ("width", (None, b"1")), ("width", (None, b"2"))], "/width"),
        ([("image", cat()), ("state", (None, b"completed"))], "/state"),
        ([("image", cat()), ("note", (None, b"a\0b"))], "/note"),
    ],
)
def test_a_form_that_does_not_fit_is_named_and_leaves_nothing(
    service: Service, ada: httpx.Client, parts: Any, pointer: str
) -> None:
    response = ada.post("/tasks/look", files=parts)

    body = assert_problem(response, 422, response.json().get("code"))
    assert pointers(body) == [pointer]
    assert kept(service) == []
    assert files(service) == []


def test_a_reference_over_http_is_no_file_however_it_comes(
    service: Service, ada: httpx.Client
) -> None:
    first = ada.post("/tasks/store", files=[("files", cat())]).json()["task_id"]
    [reference] = references(service, first)
    bob = service.signed_in("bob")

    by_json = bob.post("/tasks/store", json={"files": [reference.to_json()]})
    text = json.dumps(reference.to_json()).encode()
    by_form = bob.post(
        "/tasks/store",
        files=[("files", cat()), ("one", (None, text, "application/json"))],
    )

    for response in (by_json, by_form):
        assert response.status_code == 422
    assert kept(service) == [first]
    assert len(files(service)) == 1


def test_who_sends_json_is_told_to_send_a_form(service: Service, ada: httpx.Client) -> None:
    missing = assert_problem(ada.post("/tasks/look", json={}), 422, "invalid_arguments")
    text = assert_problem(ada.post("/tasks/look", json={"image": "x"}), 422, "invalid_arguments")

    for body in (missing, text):
        assert pointers(body) == ["/image"]
        assert "multipart/form-data" in body["errors"][0]["detail"]


def test_a_task_without_files_takes_no_form(service: Service, ada: httpx.Client) -> None:
    response = ada.post("/tasks/plain", files={"data": cat()})

    body = assert_problem(response, 415, "unsupported_media_type")
    assert body["fix"] == "send Content-Type: application/json"
    assert files(service) == []


def test_a_file_task_takes_no_other_content(ada: httpx.Client) -> None:
    response = ada.post("/tasks/look", content=CAT, headers={"Content-Type": "image/png"})

    body = assert_problem(response, 415, "unsupported_media_type")
    assert body["fix"] == "send Content-Type: multipart/form-data"


def test_a_compressed_form_is_not_unpacked(ada: httpx.Client) -> None:
    body, header = form(part('name="image"; filename="cat.png"'))

    response = ada.post("/tasks/look", content=body, headers={**header, "Content-Encoding": "gzip"})

    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"", "multipart/form-data; boundary=cut"),
        (b"no parts at all", "multipart/form-data; boundary=cut"),
        (b"--cut\r\n", "multipart/form-data; boundary=cut"),
        (form(part('name="image"; filename="c"'))[0][:-8], "multipart/form-data; boundary=cut"),
        (form(b"Nothing: here\r\n\r\nx")[0], "multipart/form-data; boundary=cut"),
        (form(part('filename="cat.png"'))[0], "multipart/form-data; boundary=cut"),
        (form(part('name="image"; filename="c"'))[0], "multipart/form-data"),
        (form(part('name="image"; filename="c"'))[0], "multipart/form-data; boundary="),
        (form(part('name="image"; filename="c"'))[0], "multipart/form-data; boundary=" + "x" * 99),
        (
            b'--cut\r\nContent-Disposition: form-data; name="image"; filename="\xff"\r\n\r\nx\r\n'
            b"--cut--\r\n",
            "multipart/form-data; boundary=cut",
        ),
        (form(part('name="note"', b"\xff"))[0], "multipart/form-data; boundary=cut"),
        (
            form(part('name="image"; filename="c"', CAT, "X: " + "y" * 9000))[0],
            "multipart/form-data; boundary=cut",
        ),
    ],
)
def test_a_broken_form_is_refused_and_leaves_nothing(
    service: Service, ada: httpx.Client, body: bytes, header: str
) -> None:
    response = ada.post("/tasks/look", content=body, headers={"Content-Type": header})

    assert_problem(response, 400, "broken_body")
    assert kept(service) == []
    assert files(service) == []


def test_a_form_of_countless_parts_is_refused(service: Service, ada: httpx.Client) -> None:
    response = ada.post("/tasks/look", files=[("note", (None, b""))] * 501)

    assert_problem(response, 422, "invalid_body")


def test_a_file_of_the_limit_is_taken_and_one_byte_more_is_not(
    service: Service, ada: httpx.Client
) -> None:
    most = service.settings.max_upload_bytes

    fits = ada.post("/tasks/look", files={"image": cat(data=b"x" * most)})
    too_large = ada.post("/tasks/look", files={"image": cat(data=b"x" * (most + 1))})

    assert fits.status_code == 202
    assert f"{most:,} bytes" in assert_problem(too_large, 413, "body_too_large")["detail"]
    assert len(files(service)) == 1


def test_the_texts_of_a_form_have_their_own_limit(service: Service, ada: httpx.Client) -> None:
    note = b"x" * (service.settings.max_body_bytes + 1)

    response = ada.post("/tasks/look", files=[("image", cat()), ("note", (None, note))])

    assert_problem(response, 413, "body_too_large")
    assert files(service) == []


@contextmanager
def upload(service: Service, token: str, **headers: str) -> Iterator[http.client.HTTPConnection]:
    """Begin a request of which no body was sent so far."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        connection.putrequest("POST", "/tasks/look")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=cut")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        yield connection


def answer_to(connection: http.client.HTTPConnection) -> int:
    with connection.getresponse() as response:
        return response.status


def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_read(
    service: Service,
) -> None:
    token = service.add_user("eve")

    with upload(service, token, Content_Length=str(10**12)) as connection:
        # Not one byte of the body was sent: an answer means that nobody waited for it.
        status = answer_to(connection)

    assert status == 413
    assert files(service) == []


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(service: Service) -> None:
    token = service.add_user("eve")
    chunk = b"x" * 65536
    head = b"--cut\r\n" + part('name="image"; filename="c.png"', b"", "Content-Type: image/png")

    with upload(service, token, Transfer_Encoding="chunked") as connection:
        connection.send(b"%x\r\n%s\r\n" % (len(head), head))
        for _ in range(service.settings.max_upload_bytes // len(chunk) + 8):
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        # No last chunk was sent: the answer does not wait for it.
        status = answer_to(connection)

    assert status == 413
    assert files(service) == []


def test_who_hangs_up_leaves_nothing(service: Service) -> None:
    token = service.add_user("eve")
    head = b"--cut\r\n" + part('name="image"; filename="c.png"', b"x" * 300_000)

    with upload(service, token, Content_Length=str(MIB)) as connection:
        connection.send(head)
        wait_until(lambda: len(files(service)) == 1, "the draft is being written")

    wait_until(lambda: files(service) == [], "the draft is gone")


@pytest.mark.parametrize(("who", "status"), [("stranger", 401), ("viewer", 403)])
def test_who_may_not_submit_has_nothing_stored(service: Service, who: str, status: int) -> None:
    token = service.add_user("vera", Role.VIEWER) if who == "viewer" else "forged"

    with upload(service, token, Content_Length=str(MIB)) as connection:
        assert answer_to(connection) == status

    assert files(service) == []


def test_a_name_that_nobody_registered_has_nothing_stored(
    service: Service, ada: httpx.Client
) -> None:
    response = ada.post("/tasks/nothing", files={"image": cat()})

    assert_problem(response, 404, "task_name_not_found")
    assert files(service) == []


def test_a_broken_query_has_nothing_stored(service: Service, ada: httpx.Client) -> None:
    response = ada.post("/tasks/look?priority=99", files={"image": cat()})

    assert_problem(response, 422, "invalid_option")
    assert files(service) == []


def test_what_a_ledger_that_is_away_did_not_take_is_deleted_at_once(
    service: Service, ada: httpx.Client
) -> None:
    service.switched.error = None
    ada.get("/tasks").raise_for_status()
    refuse(service, LedgerUnavailableError("db.internal refused"))

    response = ada.post("/tasks/look", files={"image": cat()})

    assert_problem(response, 503, "ledger_unavailable")
    assert files(service) == []


def test_what_a_lost_commit_may_have_taken_is_left_alone(
    service: Service, ada: httpx.Client
) -> None:
    refuse(service, CommitInDoubtError("db.internal hung up"))

    response = ada.post("/tasks/look", files={"image": cat()})

    problem = assert_problem(response, 503, "commit_in_doubt")
    assert "may or may not have been accepted" in problem["detail"]
    assert "Idempotency-Key" in problem["fix"]
    assert len(files(service)) == 1


def refuse(service: Service, error: Exception) -> None:
    def accept(*_: Any, **__: Any) -> Any:
        raise error

    service.ledger.submissions.accept = accept  # type: ignore[method-assign]


def test_a_folder_that_cannot_be_written_is_told_of_in_time(
    service: Service, ada: httpx.Client
) -> None:
    service.settings.files_folder.write_text("no folder")

    response = ada.post("/tasks/look", files={"image": cat()})

    assert_problem(response, 503, "files_unavailable")
    assert kept(service) == []


def test_memory_does_not_grow_with_an_upload(tmp_path: Path, server: Server) -> None:
    size = 96 * MIB

    def chunks() -> Iterator[bytes]:
        yield b"--cut\r\n" + part('name="image"; filename="c.png"', b"", "Content-Type: image/png")
        for _ in range(size // 65536):
            yield bytes(65536)
            grown.append(process.memory_info().rss - before)
        yield b"\r\n--cut--\r\n"

    with Service(tmp_path, server, catalogue=CATALOGUE, max_upload_bytes=size) as service:
        ada = service.signed_in("ada")
        ada.post("/tasks/look", files={"image": cat()}).raise_for_status()
        process, grown = psutil.Process(os.getpid()), list[int]()
        before = process.memory_info().rss
        _, header = form()

        response = ada.post("/tasks/look", content=chunks(), headers=header)

        assert response.status_code == 202, response.text
        # The client's and the service's share of it are in one process.
        assert max(grown) < 24 * MIB


def test_a_form_is_known_again_by_its_files(service: Service, ada: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = (ada.post("/tasks/look", files={"image": cat()}, headers=key) for _ in range(2))
    name, _, kind = cat()
    other = ada.post("/tasks/look", files={"image": (name, b"a dog", kind)}, headers=key)

    assert first.status_code == 202
    assert first.content == again.content
    assert_problem(other, 422, "idempotency_key_reused")
    assert len(service.ledger.tasks.list(TaskFilter(), after=None, limit=9).items) == 1
