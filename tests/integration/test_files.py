"""Files on the whole road: sent, read in a real worker, given back, and still there afterwards."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import chain, chord, group
from PIL import Image

from celeriac import File
from celeriac.core.file_reference import find_file_ids
from celeriac.core.state import ErrorKind, TaskState
from celeriac.errors import InvalidArgumentsError
from tests.servers.services import ServiceProcess, add_user
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess
from tests.stage import Stage
from tests.unit.samples.test_images import claimed_png

PASSWORD = "correct horse battery staple 7"


def test_a_path_and_a_file_are_read_in_the_worker(
    stage: Stage, client: Any, tmp_path: Path
) -> None:
    path = tmp_path / "größe.txt"
    path.write_text("from a path")

    by_path = client.describe_file.submit(path)
    by_name = client.describe_file.delay(file=File(path))
    by_bytes = client.describe_file.delay(File.from_bytes("a.bin", b"from bytes"))

    told = {"name": "größe.txt", "size": 11, "type": "text/plain", "text": "from a path"}
    assert by_path.get(timeout=15) == told
    assert by_name.get(timeout=15) == told
    assert by_bytes.get(timeout=15)["text"] == "from bytes"


def test_a_returned_file_comes_back_as_one(stage: Stage, client: Any) -> None:
    made = client.make_file.delay("cat.txt", "meow").get(timeout=15)
    same = client.give_back.delay(made).get(timeout=15)

    assert isinstance(made, File)
    assert (made.name, made.content_type, made.size) == ("cat.txt", "text/plain", 4)
    assert made.read() == b"meow"
    # Not copied: two rows hold on to one file.
    assert same.path == made.path


def test_many_async_tasks_have_each_their_own_file(stage: Stage, client: Any) -> None:
    sent = [client.copy_later.delay(File.from_bytes("a", b"%d" % number)) for number in range(8)]

    assert [each.get(timeout=15).read() for each in sent] == [b"%d" % each for each in range(8)]


def test_a_file_goes_down_a_chain_and_into_a_chord(stage: Stage, client: Any) -> None:
    last = chain(client.make_file.s("a.txt", "meow"), client.describe_file.s()).delay()
    joined = chord(
        group(client.make_file.s(f"{number}.txt", str(number)) for number in range(3)),
        client.join_files.s(),
    ).delay()
    with_own = chain(
        client.add.s(1, 2), client.fail_once_with.si("own", File.from_bytes("b", b"x"))
    )

    assert last.get(timeout=15)["text"] == "meow"
    assert joined.get(timeout=15).read() == b"012"
    with pytest.raises(TypeError, match="functions with @task only"):
        with_own.delay()


def test_a_task_sends_files_on(stage: Stage, client: Any) -> None:
    sent = client.send_on.delay(File.from_bytes("a.txt", b"came"), "made").get(timeout=15)

    told = [client.app.AsyncResult(each).get(timeout=15)["text"] for each in sent]
    assert told == ["came", "made"]


@pytest.mark.parametrize("name", ["fail_once_with", "die_once_with"])
def test_the_second_attempt_finds_the_file(stage: Stage, client: Any, key: str, name: str) -> None:
    if name == "die_once_with" and stage.pool != "processes":
        # There the process is the worker.
        name = "fail_once_with"

    result = getattr(client, name).delay(key, File.from_bytes("a.txt", b"still there"))

    assert result.get(timeout=20) == "still there"
    assert stage.get(result.id).attempt == 2


def test_a_killed_worker_leaves_the_file_to_the_next(tmp_path: Path) -> None:
    settings = {"CELERIAC_LEASE_SECONDS": "2"}
    with (
        ValkeyServer(tmp_path / "valkey") as broker,
        Stage(tmp_path, broker=broker, pool="solo", settings=settings) as it,
    ):
        it.worker.start_ready()

        result = it.client.die_once_with.delay("killed", File.from_bytes("a.txt", b"still there"))
        it.wait_for_effect("killed")
        it.worker.wait()
        it.worker.start_ready()

        assert it.wait_for_state(result.id, TaskState.COMPLETED, seconds=30).result
        assert result.get(timeout=15) == "still there"


def test_a_text_is_no_path(stage: Stage, client: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match="must be a file"):
        client.describe_file.submit("/etc/passwd")

    result = client.describe_file.delay("/etc/passwd")

    task = stage.wait_for_state(result.id, TaskState.FAILED)
    assert task.error is not None
    assert task.error.kind is ErrorKind.REJECTED


def test_a_file_that_is_gone_fails_with_its_name(stage: Stage, client: Any) -> None:
    made = client.make_file.delay("cat.txt", "meow").get(timeout=15)
    made.path.unlink()

    result = client.describe_file.delay(made)

    task = stage.wait_for_state(result.id, TaskState.FAILED)
    assert task.error is not None
    assert task.error.type == "FileNotKeptError"
    assert "cat.txt" in task.error.message


def test_every_row_holds_on_to_the_files_it_speaks_of(stage: Stage, client: Any) -> None:
    result = client.give_back.delay(File.from_bytes("a.txt", b"x"))
    result.get(timeout=15)

    task = stage.get(result.id)
    [file_id] = find_file_ids(task.arguments.text, task.result)
    assert stage.ledger.sweeps.held_files([file_id]) == {file_id}


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The samples behind a service and a worker, with a broker of their own."""
    folder = tmp_path_factory.mktemp("road")
    with ValkeyServer(folder / "valkey") as broker:
        yield from serve(folder, broker)


def serve(folder: Path, broker: ValkeyServer) -> Iterator[httpx.Client]:
    environment = {
        "CELERIAC_DATA_DIR": str(folder / "data"),
        "CELERIAC_BROKER_URL": broker.url,
        "CELERIAC_RATE_LIMIT": "100000/minute",
    }
    add_user("user1", PASSWORD, folder=folder, environment=environment, role="submitter")
    service = ServiceProcess(folder=folder, environment=environment)
    worker = WorkerProcess(
        "celery_app", folder=folder, environment=environment, arguments=["--without-mingle"]
    )
    with service, worker, httpx.Client(base_url=service.url, timeout=20) as http:
        service.wait_until(service.is_ready, "it is ready", seconds=30)
        worker.wait_ready()
        form = {"username": "user1", "password": PASSWORD}
        token = http.post("/token", data=form).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


def end_of(http: httpx.Client, submitted: httpx.Response) -> dict[str, Any]:
    assert submitted.status_code == 202, submitted.text
    deadline = time.monotonic() + 30
    while True:
        body: dict[str, Any] = http.get(submitted.headers["location"]).json()
        if body["status"] != "pending":
            return body
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


def picture(kind: str = "PNG", size: tuple[int, int] = (800, 600)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 60, 20)).save(out, kind)
    return out.getvalue()


def test_a_picture_comes_back_smaller(road: httpx.Client) -> None:
    parts: Any = {"image": ("größe.jpg", picture("JPEG"), "image/jpeg"), "width": (None, b"128")}

    body = end_of(road, road.post("/tasks/image.thumbnail", files=parts))

    assert body["status"] == "completed", body
    result = body["result"]
    assert (result["name"], result["content_type"]) == ("größe-128x96.jpg", "image/jpeg")
    by_result = road.get(f"/tasks/{body['task_id']}/result")
    by_url = road.get(result["url"])
    assert by_result.content == by_url.content
    assert by_result.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(by_result.content)) as smaller:
        assert smaller.size == (128, 96)


def test_a_retry_has_the_file_again_and_other_arguments(road: httpx.Client) -> None:
    first = road.post("/tasks/image.thumbnail", files={"image": ("cat.png", picture())})
    end_of(road, first)

    again = road.post(f"/tasks/{first.json()['task_id']}/retry", json={"width": 32})

    assert end_of(road, again)["result"]["name"] == "cat-32x24.png"


@pytest.mark.parametrize(
    "data",
    [b"no picture", picture()[:300], b"", claimed_png(60_000, 60_000)],
    ids=["text", "truncated", "empty", "bomb"],
)
def test_what_is_no_picture_fails_with_a_sentence(road: httpx.Client, data: bytes) -> None:
    parts: Any = {"image": ("cat.png", data, "image/png")}

    body = end_of(road, road.post("/tasks/image.grayscale", files=parts))

    assert body["status"] == "failed"
    assert body["error"]["kind"] == "exception"
    assert body["error"]["type"] == "Fail"
    assert body["error"]["message"].startswith("cat.png ")
