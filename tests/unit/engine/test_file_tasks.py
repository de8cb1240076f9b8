from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from celery import Celery
from pydantic import BaseModel

from celeriac import File
from celeriac.core.file_reference import find_references
from celeriac.core.task import Arguments, TaskId
from celeriac.engine.executor import Executor
from celeriac.engine.typed_task import TypedTask
from celeriac.errors import InvalidArgumentsError, LedgerUnavailableError
from tests.engines import make_claimed, open_app


class Album(BaseModel):
    cover: File


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path / "data") as app:
        yield app


@pytest.fixture
def look(app: Celery) -> Any:
    def look(image: File, others: list[File] | None = None) -> File:
        return File.from_bytes("out.txt", image.read())

    return app.task(look, base=TypedTask, name="look")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cat.txt"
    path.write_text("meow")
    return path


def kept(app: Celery) -> list[str]:
    return sorted(app.celeriac.files.walk())


def arguments(app: Celery, task_id: str) -> Arguments:
    found: Arguments = app.celeriac.ledger.tasks.get(TaskId(task_id)).arguments
    return found


@pytest.mark.parametrize(
    "send",
    [
        lambda look, path: look.submit(path),
        lambda look, path: look.submit(image=File(path)),
        lambda look, path: look.delay(path),
        lambda look, path: look.apply_async((), {"image": path}),
        lambda look, path: look.s(path).apply_async(),
    ],
)
def test_a_path_becomes_a_kept_file_however_it_is_sent(
    app: Celery, look: Any, path: Path, send: Any
) -> None:
    result = send(look, path)

    [reference] = find_references(json.loads(arguments(app, result.id).text))
    assert reference.name == "cat.txt"
    assert kept(app) == [reference.id]


def test_paths_in_a_list_are_sent_too(app: Celery, look: Any, path: Path) -> None:
    result = look.delay(path, others=[path, File(path)])

    assert len(find_references(json.loads(arguments(app, result.id).text))) == 3


def test_a_model_with_a_file_is_sent(app: Celery) -> None:
    def show(album: Album) -> str:
        return album.cover.name

    task = app.task(show, base=TypedTask, name="show")

    result = task.delay(Album(cover=File.from_bytes("a.txt", b"x")))

    assert len(find_references(json.loads(arguments(app, result.id).text))) == 1


def test_a_chain_keeps_the_files_of_all_its_links(app: Celery, look: Any, path: Path) -> None:
    result = (look.s(path) | look.s([File(path)])).apply_async()

    assert len(kept(app)) == 2
    assert app.celeriac.ledger.sweeps.held_files(kept(app)) == set(kept(app))
    assert "cat.txt" in app.celeriac.ledger.tasks.get(TaskId(result.parent.id)).headers


@pytest.mark.parametrize("given", ["cat.txt", b"meow", 1, None])
def test_what_is_no_file_is_refused_before_anything_is_sent(
    app: Celery, look: Any, given: Any
) -> None:
    with pytest.raises(InvalidArgumentsError, match="must be a file"):
        look.submit(given)

    assert kept(app) == []


def test_a_path_that_leads_nowhere_is_told_of(app: Celery, look: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentsError, match="there is no file"):
        look.delay(tmp_path / "none.txt")


def test_what_was_not_sent_keeps_no_file(
    app: Celery, look: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(app.celeriac.road, "submit", refuse)

    with pytest.raises(ValueError, match="no"):
        look.delay(path)

    assert kept(app) == []


def test_what_may_have_been_sent_keeps_its_file(
    app: Celery, look: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise LedgerUnavailableError("hung up")

    monkeypatch.setattr(app.celeriac.road, "submit", refuse)

    with pytest.raises(LedgerUnavailableError):
        look.delay(path)

    assert len(kept(app)) == 1


def test_in_a_worker_the_file_is_read_and_another_given_back(
    app: Celery, look: Any, path: Path
) -> None:
    args, kwargs = json.loads(arguments(app, look.delay(path).id).text)

    outcome, _ = Executor(app, hostname="w").run(make_claimed("look", *args, **kwargs))

    assert outcome.result is not None
    [reference] = find_references(json.loads(outcome.result))
    assert reference.name == "out.txt"
    assert app.celeriac.files.path(reference).read_text() == "meow"


def test_a_plain_call_is_the_function_itself(look: Any, path: Path) -> None:
    assert look(File(path)).read() == b"meow"


def test_the_hint_says_which_files_are_taken(app: Celery) -> None:
    def only(image: Annotated[File, "image/*"]) -> None:
        return None

    task = app.task(only, base=TypedTask, name="only")

    assert task.contract.schema["properties"]["image"]["contentMediaType"] == "image/*"
    with pytest.raises(InvalidArgumentsError, match=r"must be image/\*, and this is text/plain"):
        task.submit(File.from_bytes("a.txt", b"x"))
