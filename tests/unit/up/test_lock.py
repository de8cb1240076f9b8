from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.errors import DataFolderInUseError, DataFolderLostError, SettingsError
from celeriac.service.profiles import Profile, local_profile, write_profile
from celeriac.up.lock import DataFolderLock, Holder


def test_a_second_lock_on_a_folder_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    first = DataFolderLock(tmp_path)
    first.acquire()

    with pytest.raises(DataFolderInUseError) as refused:
        DataFolderLock(tmp_path).acquire()

    assert f"process id {os.getpid()}" in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    first.release()


def test_a_holder_is_told_of_with_its_address(tmp_path: Path) -> None:
    first = DataFolderLock(tmp_path)
    first.acquire()
    profile = Profile(url="http://127.0.0.1:8001", key="secret")
    write_profile(local_profile(tmp_path), profile)

    with pytest.raises(DataFolderInUseError, match=r"at http://127\.0\.0\.1:8001$") as refused:
        DataFolderLock(tmp_path).acquire()

    assert refused.value.fix == (
        "it runs already: open http://127.0.0.1:8001; "
        f"to stop it, Ctrl-C where it runs (or end process {os.getpid()}); "
        "to start another one beside it, name another folder with --data"
    )

    first.release()


def test_a_released_folder_can_be_taken_again(tmp_path: Path) -> None:
    first = DataFolderLock(tmp_path)
    first.acquire()
    first.release()

    second = DataFolderLock(tmp_path)
    second.acquire()
    second.release()


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    take_and_die = (
        "import os, pathlib, sys; from celeriac.up.lock import DataFolderLock;"
        "DataFolderLock(pathlib.Path(sys.argv[1])).acquire(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", take_and_die, str(tmp_path)], check=False)

    lock = DataFolderLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_folder_that_cannot_be_written_is_a_broken_setting(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(SettingsError, match="CELERIAC_DATA_DIR"):
        DataFolderLock(file).acquire()


def test_the_lock_can_be_imported_where_fcntl_is_missing(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; sys.modules['fcntl'] = None;"
        "from celeriac.up.lock import DataFolderLock;"
        "DataFolderLock(pathlib.Path(sys.argv[1])).acquire()"
    )

    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    assert done.returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "since": "now"}'])
def test_a_holder_that_did_not_write_itself_down_is_unknown(text: str) -> None:
    assert Holder.from_text(text) is None


def test_a_folder_that_is_still_there_is_well(tmp_path: Path) -> None:
    lock = DataFolderLock(tmp_path)
    lock.acquire()

    lock.check()

    lock.release()


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_ledger_that_was_deleted_from_its_folder_is_noticed(
    tmp_path: Path, *, is_made_anew: bool
) -> None:
    ledger = tmp_path / "ledger.db"
    lock = DataFolderLock(tmp_path, ledger=ledger)
    lock.acquire()
    # Made by the programs after the folder is taken.
    lock.check()
    ledger.touch()
    lock.check()

    ledger.rename(tmp_path / "old.db")
    if is_made_anew:
        ledger.touch()

    with pytest.raises(DataFolderLostError, match=r"the ledger .*ledger\.db was deleted, moved or"):
        lock.check()
    lock.release()


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_folder_that_was_deleted_is_noticed(tmp_path: Path, *, is_made_anew: bool) -> None:
    folder = tmp_path / "data"
    lock = DataFolderLock(folder)
    lock.acquire()

    folder.rename(tmp_path / "moved")
    other = DataFolderLock(folder)
    if is_made_anew:
        other.acquire()

    with pytest.raises(DataFolderLostError, match="was deleted, moved or replaced"):
        lock.check()
    other.release()
    lock.release()
