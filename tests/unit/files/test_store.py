from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.core.file_reference import FileId, FileReference
from celeriac.errors import FileNotKeptError, FilesUnavailableError
from celeriac.files.store import FolderStore, keep_stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def store(folder: Path) -> FolderStore:
    return FolderStore(folder)


def keep(store: FolderStore, data: bytes = b"meow", name: str = "cat.png") -> FileReference:
    return keep_stream(store, io.BytesIO(data), name=name, content_type=None)


def files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def test_a_file_is_kept_under_a_random_name_for_its_owner_alone(
    store: FolderStore, folder: Path
) -> None:
    first, second = keep(store), keep(store)

    assert first.id != second.id
    assert first.sha256 == second.sha256 == hashlib.sha256(b"meow").hexdigest()
    assert (first.name, first.content_type, first.size_bytes) == ("cat.png", "image/png", 4)
    assert store.path(first).read_bytes() == b"meow"
    for path in files(folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nobody_finds_a_file_before_it_is_whole(store: FolderStore, folder: Path) -> None:
    other, draft = keep(store), store.draft()
    draft.write(b"half")

    with pytest.raises(FileNotKeptError):
        store.path(replace(other, id=draft.id))

    reference = draft.keep(name="a", content_type=None)
    assert store.path(reference).read_bytes() == b"half"


def test_a_file_is_on_the_disk_before_it_has_its_place(
    store: FolderStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        order.append(kind)
        fsync(handle)

    def note_rename(self: Path, target: Path) -> Path:
        order.append("place")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_rename)
    keep(store)

    assert order == ["file", "place", "folder", "folder"]


def test_what_breaks_off_leaves_nothing(store: FolderStore, folder: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise ConnectionError("gone")
            return super().read(2)

    with pytest.raises(ConnectionError):
        keep_stream(store, Broken(b"meow"), name="a", content_type=None)

    assert files(folder) == []


def test_a_disk_that_is_full_is_told_of_and_left_clean(
    store: FolderStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(FilesUnavailableError) as caught:
        keep(store)

    assert "No space" in caught.value.reason
    assert "No space" not in str(caught.value)
    assert files(folder) == []


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file")

    with pytest.raises(FilesUnavailableError):
        FolderStore(tmp_path / "files").draft()


@pytest.mark.parametrize("id_", ["", "..", "../../etc/passwd", "A" * 32, "a" * 31, "a" * 33])
def test_an_id_is_never_a_path(store: FolderStore, id_: str) -> None:
    reference = replace(keep(store), id=FileId(id_))

    with pytest.raises(FileNotKeptError):
        store.path(reference)
    with pytest.raises(FileNotKeptError):
        store.remove([reference.id])


def test_removed_is_removed_and_twice_is_no_mistake(store: FolderStore, folder: Path) -> None:
    reference, draft = keep(store), store.draft()

    for _ in range(2):
        store.remove([reference.id, draft.id])

    assert files(folder) == []
    draft.discard()


def test_every_file_is_walked_past(store: FolderStore, folder: Path) -> None:
    kept, draft = keep(store), store.draft()
    (folder / "readme").write_text("none of ours")
    (folder / "drafts" / "notes").write_text("none of ours")

    assert sorted(store.walk()) == sorted([kept.id, draft.id])
    draft.discard()


def test_the_first_ledger_that_asks_owns_the_folder(store: FolderStore, folder: Path) -> None:
    assert not store.belongs_to("first")
    assert store.owner() is None
    keep(store)

    assert store.belongs_to("first")
    assert store.belongs_to("first")
    assert not store.belongs_to("second")
    assert store.owner() == "first"


def test_a_folder_can_be_written_before_it_is_made(store: FolderStore, folder: Path) -> None:
    assert store.is_writable()
    assert not folder.exists()
    folder.write_text("no folder")
    assert not store.is_writable()


def test_another_process_finds_the_same_files_from_anywhere(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = FolderStore(Path("files"))
    reference = keep(relative)
    monkeypatch.chdir("/")

    assert relative.path(reference) == store.path(reference)
