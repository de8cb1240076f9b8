from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from celeriac.errors import SettingsError
from celeriac.service.secrets import (
    ensure_data_dir,
    is_weak_key,
    obtain_secret,
    signing_keys,
)
from celeriac.settings import Settings

STRONG = "Zk3v8QpWm1x7RtYb5nLc9dHf2gJs6aEu"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_the_secret_are_this_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    secret = obtain_secret(folder, "secret.key")

    assert len(secret) >= 48
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "secret.key") == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret.key"]


def test_the_second_who_asks_gets_the_same_secret(tmp_path: Path) -> None:
    assert obtain_secret(tmp_path, "secret.key") == obtain_secret(tmp_path, "secret.key")


def refuse_links(*_: object) -> None:
    raise PermissionError("this file system has no hard links")


@pytest.mark.parametrize("has_links", [True, False])
def test_many_who_ask_at_once_get_the_same_whole_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    together = threading.Barrier(16)
    found: list[str] = []

    def ask() -> None:
        together.wait()
        found.append(obtain_secret(tmp_path, "secret.key"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 16
    assert set(found) == {(tmp_path / "secret.key").read_text()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_secret_that_was_cut_off_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.service.secrets._PATIENCE_SECONDS", 0.0)
    (tmp_path / "secret.key").write_text("half")

    with pytest.raises(SettingsError, match=r"secret\.key") as caught:
        obtain_secret(tmp_path, "secret.key")

    assert "half" not in str(caught.value)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(SettingsError, match=r"CELERIAC_DATA_DIR .*\(this is a file\)"):
        ensure_data_dir(tmp_path / "data")


def test_a_disk_without_room_is_told_and_leaves_no_half_of_a_secret(tmp_path: Path) -> None:
    # A file that may not grow is to a program what a full disk is.
    make = (
        "import pathlib, resource, signal, sys\n"
        "from celeriac.errors import SettingsError\n"
        "from celeriac.service.secrets import obtain_secret\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n"
        "    obtain_secret(pathlib.Path(sys.argv[1]), 'secret.key')\n"
        "except SettingsError as error:\n"
        "    sys.exit(str(error))\n"
    )

    made = subprocess.run(
        [sys.executable, "-c", make, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert "File too large" in made.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").mkdir()

    with pytest.raises(SettingsError, match=r"secret\.key"):
        obtain_secret(tmp_path, "secret.key")


def test_keys_that_were_set_come_before_the_one_in_the_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret_keys=(STRONG, STRONG[::-1]))

    assert signing_keys(settings) == (STRONG, STRONG[::-1])
    assert list(tmp_path.iterdir()) == []


def test_without_a_key_one_is_made(tmp_path: Path) -> None:
    (key,) = signing_keys(Settings(data_dir=tmp_path))

    assert key == (tmp_path / "secret.key").read_text()
    assert not is_weak_key(key)


@pytest.mark.parametrize(
    "key",
    [
        # short
        "Zk3v8QpWm1x7RtYb5nLc9dHf2gJs6aE",
        # long, and not random
        "a" * 64,
        "abababababababababababababababababababab",
        # long, and in everybody's tutorial
        "your-256-bit-secret-your-256-bit-secret",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME!",
        "django-insecure-x7#kQ!p2Lm9x7#kQ!p2Lm9x7#",
        "my_super_secret_key_for_the_whole_world",
    ],
)
def test_a_weak_key_stops_the_start_and_is_not_shown(tmp_path: Path, key: str) -> None:
    settings = Settings(data_dir=tmp_path, secret_keys=(STRONG, key))

    with pytest.raises(SettingsError, match="APP_SECRET_KEY") as caught:
        signing_keys(settings)

    assert key not in str(caught.value)


def test_a_secret_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text("the first half")
    whole = "a-secret-that-is-whole-and-long-enough-to-be-good"
    writing = threading.Timer(0.1, lambda: path.write_text(whole))
    writing.start()

    assert obtain_secret(tmp_path, "secret.key") == whole
