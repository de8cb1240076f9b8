from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.core.file_reference import FileReference
from celeriac.core.task import Arguments, Codec
from celeriac.engine.file_sweeper import FileSweeper
from celeriac.files.store import FolderStore, keep_stream
from celeriac.ledger.open import Ledger
from tests.fakes import make_new_task, open_test_ledger

HOUR = 3600.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_test_ledger(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "files")


def keep(store: FolderStore) -> FileReference:
    return keep_stream(store, io.BytesIO(b"meow"), name="cat.txt", content_type=None)


def hold(ledger: Ledger, reference: FileReference) -> None:
    text = f'[[],{{"file":{{"celeriac_file":"{reference.id}"}}}}]'
    ledger.tasks.insert([make_new_task(arguments=Arguments(codec=Codec.JSON, text=text))])


def forget_tasks(ledger: Ledger) -> None:
    with ledger._database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM tasks")


def walk(sweeper: FileSweeper, ledger: Ledger, now: float) -> int:
    """One whole walk, which ends with a turn that finds nothing more."""
    return sweeper.sweep(ledger, now) + sweeper.sweep(ledger, now)


def test_a_file_that_nobody_holds_on_to_goes_an_hour_after_it_was_seen(
    ledger: Ledger, store: FolderStore
) -> None:
    reference, draft = keep(store), store.draft()
    draft.write(b"half an upload")
    sweeper = FileSweeper(store)

    deleted = [walk(sweeper, ledger, at) for at in (0.0, HOUR - 1, 2 * HOUR)]

    assert deleted == [0, 0, 2]
    assert list(store.walk()) == []
    assert reference.id not in ledger.sweeps.held_files([reference.id])
    draft.discard()


def test_a_tasks_file_stays_until_the_task_goes(ledger: Ledger, store: FolderStore) -> None:
    reference = keep(store)
    hold(ledger, reference)
    sweeper = FileSweeper(store)

    for at in (0.0, HOUR, 2 * HOUR):
        assert walk(sweeper, ledger, at) == 0
    forget_tasks(ledger)
    assert walk(sweeper, ledger, 3 * HOUR) == 0
    assert walk(sweeper, ledger, 4 * HOUR) == 1

    assert list(store.walk()) == []


def test_a_file_that_gets_a_holder_in_time_stays(ledger: Ledger, store: FolderStore) -> None:
    reference = keep(store)
    sweeper = FileSweeper(store)
    walk(sweeper, ledger, 0.0)
    hold(ledger, reference)

    assert walk(sweeper, ledger, HOUR) == 0

    forget_tasks(ledger)
    # The hour begins anew.
    assert walk(sweeper, ledger, 2 * HOUR) == 0
    assert walk(sweeper, ledger, 3 * HOUR) == 1


def test_a_folder_of_another_ledger_is_left_alone(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    reference = keep(store)
    other = tmp_path / "other"
    other.mkdir()
    neighbour = open_test_ledger(other)
    walk(FileSweeper(store), ledger, 0.0)
    sweeper = FileSweeper(store)

    deleted = [walk(sweeper, neighbour, at) for at in (0.0, HOUR, 2 * HOUR)]

    assert deleted == [0, 0, 0]
    assert list(store.walk()) == [reference.id]
    neighbour.close()


def test_many_files_are_looked_at_in_bites(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    folder = tmp_path / "files" / "00"
    folder.mkdir(parents=True)
    for number in range(501):
        (folder / f"{number:032x}").touch()
    sweeper = FileSweeper(store)
    sweeper.sweep(ledger, 0.0)
    sweeper.sweep(ledger, 0.0)
    sweeper.sweep(ledger, 0.0)

    assert [sweeper.sweep(ledger, HOUR) for _ in range(3)] == [500, 1, 0]


def test_what_is_none_of_ours_in_the_folder_stays(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    keep(store)
    (tmp_path / "files" / "notes").mkdir()
    theirs = tmp_path / "files" / "notes" / "readme.txt"
    theirs.write_text("mine")
    sweeper = FileSweeper(store)

    deleted = [walk(sweeper, ledger, at) for at in (0.0, HOUR)]

    assert deleted == [0, 1]
    assert theirs.exists()


def test_without_a_folder_there_is_nothing_to_do(ledger: Ledger, store: FolderStore) -> None:
    assert walk(FileSweeper(store), ledger, 0.0) == 0
