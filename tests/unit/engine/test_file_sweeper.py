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


class Turns:
    """A janitor's turns, all that would have come until a moment."""

    def __init__(self, store: FolderStore) -> None:
        self.sweeper = FileSweeper(store)
        self._now = 0.0

    def __call__(self, ledger: Ledger, until: float) -> int:
        """Return how many files were deleted meanwhile."""
        deleted = 0
        while self._now < until:
            deleted += self.sweeper.sweep(ledger, self._now)
            # What ends a walk is a turn of its own.
            deleted += self.sweeper.sweep(ledger, self._now)
            self._now += 50
        return deleted


def test_a_file_that_nobody_holds_on_to_goes_an_hour_after_it_was_seen(
    ledger: Ledger, store: FolderStore
) -> None:
    reference, draft = keep(store), store.draft()
    draft.write(b"half an upload")
    turns = Turns(store)

    deleted = [turns(ledger, HOUR - 1), turns(ledger, HOUR + 700)]

    assert deleted == [0, 2]
    assert list(store.walk()) == []
    assert ledger.sweeps.held_files([reference.id]) == set()
    draft.discard()


def test_a_tasks_file_stays_until_the_task_goes(ledger: Ledger, store: FolderStore) -> None:
    reference = keep(store)
    hold(ledger, reference)
    turns = Turns(store)

    assert turns(ledger, 3 * HOUR) == 0
    forget_tasks(ledger)
    assert turns(ledger, 3.5 * HOUR) == 0
    assert turns(ledger, 4.5 * HOUR) == 1

    assert list(store.walk()) == []


def test_a_file_that_gets_a_holder_in_time_stays(ledger: Ledger, store: FolderStore) -> None:
    reference = keep(store)
    turns = Turns(store)
    turns(ledger, 0.5 * HOUR)
    hold(ledger, reference)

    assert turns(ledger, 2 * HOUR) == 0

    forget_tasks(ledger)
    # The hour begins anew.
    assert turns(ledger, 2.5 * HOUR) == 0
    assert turns(ledger, 3.5 * HOUR) == 1


def test_an_hour_in_which_the_ledger_was_away_does_not_count(
    ledger: Ledger, store: FolderStore
) -> None:
    keep(store)
    sweeper = FileSweeper(store)
    for at in (0.0, 0.0, 10.0):
        sweeper.sweep(ledger, at)

    deleted = [sweeper.sweep(ledger, 2 * HOUR + at) for at in (0.0, 0.2, 0.4)]

    assert deleted == [0, 0, 0]


def test_a_folder_of_another_ledger_is_left_alone(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    reference = keep(store)
    other = tmp_path / "other"
    other.mkdir()
    neighbour = open_test_ledger(other)
    Turns(store)(ledger, 100)

    deleted = Turns(store)(neighbour, 3 * HOUR)

    assert deleted == 0
    assert list(store.walk()) == [reference.id]
    neighbour.close()


def test_many_files_are_looked_at_in_bites(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    folder = tmp_path / "files" / "00"
    folder.mkdir(parents=True)
    for number in range(501):
        (folder / f"{number:032x}").touch()
    turns = Turns(store)
    turns(ledger, HOUR)

    assert [turns.sweeper.sweep(ledger, HOUR) for _ in range(3)] == [500, 1, 0]


def test_what_is_none_of_ours_in_the_folder_stays(
    ledger: Ledger, store: FolderStore, tmp_path: Path
) -> None:
    keep(store)
    (tmp_path / "files" / "notes").mkdir()
    theirs = tmp_path / "files" / "notes" / "readme.txt"
    theirs.write_text("mine")

    assert Turns(store)(ledger, 2 * HOUR) == 1

    assert theirs.exists()


def test_without_a_folder_there_is_nothing_to_do(ledger: Ledger, store: FolderStore) -> None:
    assert Turns(store)(ledger, 2 * HOUR) == 0
