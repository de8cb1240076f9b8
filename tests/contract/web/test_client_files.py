"""The client sends files and fetches them, against the service."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import Client, File
from celeriac.core.file_reference import FileReference, find_references
from celeriac.core.outcome import Ending
from celeriac.core.task import TaskId
from celeriac.errors import (
    FileNotKeptError,
    InvalidArgumentsError,
    InvalidRequestError,
    NoResultError,
    TaskNotFoundError,
)
from celeriac.files.store import keep_stream
from tests.contract.web.service import PASSWORD, Server, Service
from tests.contract.web.test_reading import end
from tests.fakes import FunctionCatalogue

MIB = 1024 * 1024


def look(image: File, width: int = 1, note: str = "", others: list[File] = []) -> File:  # noqa: B006 - never called
    raise NotImplementedError


@pytest.fixture
def service(tmp_path: Path, server: Server) -> Iterator[Service]:
    catalogue = FunctionCatalogue(look=look)
    with Service(tmp_path, server, catalogue=catalogue, max_upload_bytes=64 * MIB) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, service.add_user("ada")) as client:
        yield client


def arguments(service: Service, task_id: str) -> dict[str, Any]:
    _, kwargs = json.loads(service.ledger.tasks.get(TaskId(task_id)).arguments.text)
    assert isinstance(kwargs, dict)
    return kwargs


def references(service: Service, task_id: str) -> list[FileReference]:
    return find_references(arguments(service, task_id))


def content(service: Service, reference: FileReference) -> bytes:
    return service.files.path(reference).read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'größe "1".png'
    path.write_bytes(b"meow")
    return path


def test_a_path_is_sent_as_a_file_with_its_name(
    service: Service, client: Client, path: Path
) -> None:
    handle = client.submit("look", image=path, width=7, note='"5"')

    [reference] = references(service, handle.id)
    assert (reference.name, reference.content_type) == (path.name, "image/png")
    assert content(service, reference) == b"meow"
    kwargs = arguments(service, handle.id)
    assert (kwargs["width"], kwargs["note"]) == (7, '"5"')


def test_files_streams_and_lists_are_sent_too(service: Service, client: Client, path: Path) -> None:
    file = File.from_bytes("a.bin", b"from bytes", content_type="image/webp")
    with path.open("rb") as opened:
        handle = client.submit("look", image=file, others=[opened, io.BytesIO(b"nameless")])

    image, first, second = references(service, handle.id)
    assert (image.name, image.content_type) == ("a.bin", "image/webp")
    assert (first.name, second.name) == (path.name, "file")
    assert [content(service, each) for each in (image, first, second)] == [
        b"from bytes",
        b"meow",
        b"nameless",
    ]


def test_a_text_is_no_path(client: Client, path: Path) -> None:
    with pytest.raises(InvalidArgumentsError, match="must be a file"):
        client.submit("look", image=str(path))


@pytest.mark.parametrize("given", [b"bytes", io.StringIO("opened as text")])
def test_what_is_nearly_a_file_is_told_how_to_be_one(client: Client, given: object) -> None:
    with pytest.raises(TypeError, match='give a Path or a file opened with "rb"'):
        client.submit("look", image=given)


def test_a_path_that_leads_nowhere_sends_nothing(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.submit("look", image=tmp_path / "none.png")


def test_a_file_is_sent_again_when_the_token_has_ended(service: Service, path: Path) -> None:
    service.add_user("bob")
    with Client(service.url, user="bob", password=PASSWORD) as client:
        client.list()
        service.ledger.users.sign_out("bob")

        handle = client.submit("look", image=path)

    assert [content(service, each) for each in references(service, handle.id)] == [b"meow"]


def test_a_large_file_is_not_read_into_memory(
    service: Service, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(48 * MIB)
    client.submit("look", image=File.from_bytes("small", b""))
    tracemalloc.start()

    handle = client.submit("look", image=path)

    # The client's and the service's share of it are in one process.
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert references(service, handle.id)[0].size_bytes == 48 * MIB
    assert peak < 16 * MIB


def test_a_file_that_is_too_large_is_refused(
    service: Service, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(80 * MIB)

    with pytest.raises(InvalidRequestError, match="larger than") as refused:
        client.submit("look", image=path)

    assert "CELERIAC_MAX_UPLOAD_BYTES" in refused.value.fix


def completed(service: Service, client: Client, data: bytes) -> TaskId:
    task_id = client.submit("look", image=File.from_bytes("a.png", b"x")).id
    out = keep_stream(service.files, io.BytesIO(data), name="out.png", content_type=None)
    end(service, task_id, Ending.COMPLETED, result=json.dumps(out.to_json()))
    return task_id


def test_a_result_is_fetched_into_a_file_or_a_stream(
    service: Service, client: Client, tmp_path: Path
) -> None:
    task_id, path, stream = completed(service, client, b"small"), tmp_path / "out", io.BytesIO()
    path.write_bytes(b"something longer")

    client.handle(task_id).download(path)
    client.download(task_id, stream)

    assert path.read_bytes() == stream.getvalue() == b"small"
    assert client.handle(task_id).result()["name"] == "out.png"


def test_what_cannot_be_fetched_leaves_no_file(
    service: Service, client: Client, tmp_path: Path
) -> None:
    folder, path = tmp_path / "own", tmp_path / "own" / "out"
    folder.mkdir()
    path.write_bytes(b"mine")
    waits = client.submit("look", image=File.from_bytes("a.png", b"x")).id
    gone = completed(service, client, b"gone")
    service.files.remove(list(service.files.walk()))

    for task_id, error in (
        ("none", TaskNotFoundError),
        (waits, NoResultError),
        (gone, FileNotKeptError),
    ):
        with pytest.raises(error):
            client.download(task_id, path)

    assert path.read_bytes() == b"mine"
    assert list(folder.iterdir()) == [path]
