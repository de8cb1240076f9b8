from __future__ import annotations

import stat
from pathlib import Path

import pytest

from celeriac.cli.remote import find_profile, fix_of_silence
from celeriac.errors import NotSignedInError, SettingsError
from celeriac.service.profiles import (
    Profile,
    local_profile,
    read_profile,
    user_profile,
    write_profile,
)
from celeriac.up.lock import DataFolderLock

LOCAL = Profile(url="http://127.0.0.1:8000", key="ck_local")
REMOTE = Profile(url="https://tasks.example", key="ck_remote")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"CELERIAC_DATA_DIR": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "home")}


def test_a_profile_is_read_as_it_was_written_by_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profile.json"

    write_profile(path, LOCAL)
    write_profile(path, REMOTE)

    assert read_profile(path) == REMOTE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["profile.json"]
    assert "ck_" not in repr(REMOTE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": "x"}', "\0"])
def test_a_broken_profile_is_told_without_what_stands_in_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)

    with pytest.raises(SettingsError) as caught:
        read_profile(path)

    assert caught.value.value == "***"


def test_without_any_word_nobody_is_asked(environment: dict[str, str]) -> None:
    with pytest.raises(NotSignedInError, match="no service is named"):
        find_profile({}, environment)
    with pytest.raises(NotSignedInError, match="no key goes with it"):
        find_profile({"url": "http://x"}, environment)


def test_who_names_no_service_is_told_what_was_looked_for(environment: dict[str, str]) -> None:
    with pytest.raises(NotSignedInError) as caught:
        find_profile({}, environment)

    assert str(local_profile(Path(environment["CELERIAC_DATA_DIR"]))) in str(caught.value)
    assert "`celeriac up` starts one here" in caught.value.fix


@pytest.mark.parametrize(
    ("is_local", "is_running", "fix"),
    [
        (True, False, "`celeriac up` starts it"),
        (True, True, "it runs and does not answer: read "),
        (False, False, "see that it runs there; "),
    ],
)
def test_a_silent_service_is_told_with_what_helps(
    tmp_path: Path, fix: str, *, is_local: bool, is_running: bool
) -> None:
    lock = DataFolderLock(tmp_path)
    if is_running:
        lock.acquire()

    told = fix_of_silence(is_local=is_local, data_dir=tmp_path)

    lock.release()
    assert told.startswith(fix)


def test_the_local_profile_comes_before_the_users_own(environment: dict[str, str]) -> None:
    write_profile(user_profile(environment), REMOTE)
    assert find_profile({}, environment) == REMOTE

    write_profile(local_profile(Path(environment["CELERIAC_DATA_DIR"])), LOCAL)

    assert find_profile({}, environment) == LOCAL
    # Another service's key is found by its address.
    assert find_profile({"url": REMOTE.url + "/"}, environment).key == REMOTE.key


def test_an_option_wins_over_the_environment_and_that_over_a_profile(
    environment: dict[str, str],
) -> None:
    write_profile(local_profile(Path(environment["CELERIAC_DATA_DIR"])), LOCAL)
    environment |= {"CELERIAC_URL": "http://env", "CELERIAC_KEY": "ck_env"}

    assert find_profile({}, environment) == Profile(url="http://env", key="ck_env")
    given = {"url": "http://flag", "key": "ck_flag"}
    assert find_profile(given, environment) == Profile(url="http://flag", key="ck_flag")


def test_a_key_is_never_shown_to_another_service(environment: dict[str, str]) -> None:
    write_profile(local_profile(Path(environment["CELERIAC_DATA_DIR"])), LOCAL)

    with pytest.raises(NotSignedInError):
        find_profile({"url": "http://evil.example"}, environment)
