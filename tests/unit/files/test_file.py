from __future__ import annotations

import gc
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel

from celeriac import File
from celeriac.core.file_reference import FileReference, find_references
from celeriac.engine.contract import Contract
from celeriac.errors import FileNotKeptError, InvalidArgumentsError, LedgerUnavailableError
from celeriac.files.file import KeptFiles, open_files
from celeriac.files.keeping import keeping
from celeriac.files.store import FolderStore, keep_stream


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "files")


@pytest.fixture
def kept(store: FolderStore) -> FileReference:
    return keep_stream(store, io.BytesIO(b"meow"), name="cat.txt", content_type=None)


def test_a_path_is_a_file_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "größe.txt"
    path.write_text("meow")

    file = File(path)

    assert (file.name, file.content_type, file.size) == ("größe.txt", "text/plain", 4)
    assert file.path == path
    assert file.read() == b"meow"
    with file.open() as opened:
        assert opened.read(2) == b"me"
    assert repr(file) == "File('größe.txt', text/plain)"


def test_its_name_and_type_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("")

    file = File(path, name="a/b.csv", content_type="Text/CSV; charset=utf-8")

    assert (file.name, file.content_type) == ("b.csv", "text/csv")


def test_a_path_without_a_file_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError):
            File(path)


def test_bytes_are_a_file_wherever_a_path_is_wanted() -> None:
    out = io.BytesIO()
    Image.new("RGB", (2, 1)).save(out, "PNG")

    file = File.from_bytes("dot.png", out.getvalue())

    assert file.size == len(file.read()) == len(out.getvalue())
    with Image.open(file) as picture:
        assert picture.size == (2, 1)
    path = Path(os.fspath(file))
    assert path.read_bytes() == file.read()
    del file
    gc.collect()
    assert not path.exists()


def test_a_kept_file_is_read_where_it_lies(store: FolderStore, kept: FileReference) -> None:
    file = File.from_reference(kept, store=store)

    assert (file.name, file.size, file.read()) == ("cat.txt", 4, b"meow")
    store.remove([kept.id])
    for read in (file.read, file.open, lambda: file.path):
        with pytest.raises(FileNotKeptError, match=r"cat\.txt"):
            read()


def test_a_file_is_kept_once_while_it_is_sent_and_again_the_next_time(store: FolderStore) -> None:
    file = File.from_bytes("a.txt", b"x")

    with keeping(store):
        first, again = file.to_json(), file.to_json()
    with keeping(store):
        later = file.to_json()

    assert first == again
    assert later["celeriac_file"] != first["celeriac_file"]
    assert len(list(store.walk())) == 2


def test_a_kept_file_is_not_kept_again(store: FolderStore, kept: FileReference) -> None:
    with keeping(store):
        assert File.from_reference(kept, store=store).to_json() == kept.to_json()

    assert list(store.walk()) == [kept.id]


def test_what_ends_in_an_error_keeps_nothing(store: FolderStore) -> None:
    def send() -> None:
        with keeping(store), keeping(store):
            File.from_bytes("a.txt", b"x").to_json()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send()

    assert list(store.walk()) == []


def test_what_may_have_been_committed_is_left_alone(store: FolderStore) -> None:
    def send() -> None:
        with keeping(store):
            File.from_bytes("a.txt", b"x").to_json()
            raise LedgerUnavailableError("hung up")

    with pytest.raises(LedgerUnavailableError):
        send()

    assert len(list(store.walk())) == 1


def test_where_nobody_keeps_files_none_is_sent() -> None:
    with pytest.raises(TypeError, match="@task only"), keeping(None):
        json.dumps(File.from_bytes("a.txt", b"x"), default=lambda file: file.to_json())


class Album(BaseModel):
    cover: File
    more: list[File] = []


def album(album: Album, title: str = "") -> Album:
    raise NotImplementedError


def test_files_in_models_go_out_and_come_in(store: FolderStore) -> None:
    contract = Contract.of(album)
    sent = Album(cover=File.from_bytes("a.txt", b"a"), more=[File.from_bytes("b.txt", b"b")])

    with keeping(store):
        text = json.dumps(contract.dump_result(sent))
    _, kwargs = contract.bind([], {"album": json.loads(text)}, files=KeptFiles(store))

    assert [each.name for each in find_references(json.loads(text))] == ["a.txt", "b.txt"]
    assert kwargs["album"].more[0].read() == b"b"


def test_only_a_reference_is_opened_in_a_worker(store: FolderStore, kept: FileReference) -> None:
    contract = Contract.of(album)

    for cover in ("/etc/passwd", b"x", {"celeriac_file": "0" * 32}, {}, None, 1):
        with pytest.raises(InvalidArgumentsError, match="must be a file"):
            contract.bind([], {"album": {"cover": cover}}, files=KeptFiles(store))


def test_results_are_opened_wherever_files_stand_in_them(
    store: FolderStore, kept: FileReference
) -> None:
    value: Any = {"one": kept.to_json(), "list": [kept.to_json(), 1], "none": {"celeriac_file": 1}}

    opened = open_files(value, KeptFiles(store))

    assert opened["one"].read() == opened["list"][0].read() == b"meow"
    assert (opened["list"][1], opened["none"]) == (1, {"celeriac_file": 1})
