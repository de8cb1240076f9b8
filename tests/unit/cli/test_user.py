from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeriac.cli import main
from celeriac.cli.user_list import user_facts, user_table
from celeriac.core.user import Role, User
from celeriac.ledger.open import open_ledger
from celeriac.service.passwords import Hasher
from celeriac.service.profiles import Profile, local_profile, write_profile
from celeriac.service.secrets import ensure_data_dir
from celeriac.up.lock import DataFolderLock

STRONG = "correct horse battery staple"
ANA = User(
    name="ana",
    role=Role.ADMIN,
    password_hash="canary",
    token_version=1,
    is_disabled=False,
    created_at=datetime(2026, 11, 22, 15, 0, tzinfo=UTC),
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, named by the environment."""
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CELERIAC_DATABASE_URL", raising=False)
    return tmp_path / "data"


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the command reads; the test writes it."""
    given = io.StringIO()
    monkeypatch.setattr(sys, "stdin", given)
    return given


def give(standard_input: io.StringIO, text: str) -> None:
    standard_input.write(text)
    standard_input.seek(0)


def find_user(data: Path, name: str) -> User | None:
    ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
    try:
        return ledger.users.find(name)
    finally:
        ledger.close()


def test_a_user_is_added_to_the_ledger_with_a_role_and_the_password_given(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    give(standard_input, f"{STRONG}\n")

    code = main(["user", "add", "ana", "--role", "admin", "--password-stdin"])

    assert code == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "created ana (admin)\n")
    user = find_user(data, "ana")
    assert user is not None
    assert user.role is Role.ADMIN
    assert Hasher().verify(STRONG, user.password_hash)


def test_a_weak_password_is_refused_with_what_is_wrong_with_it(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    give(standard_input, "password1")

    code = main(["user", "add", "user1", "--password-stdin"])

    assert code == 6
    said = capsys.readouterr().err
    assert said.startswith("error: refused")
    assert "--allow-weak" in said
    assert find_user(data, "user1") is None


def test_a_weak_password_is_taken_when_it_is_asked_for(
    data: Path, standard_input: io.StringIO
) -> None:
    give(standard_input, "password1")

    code = main(["user", "add", "user1", "--password-stdin", "--allow-weak"])

    assert code == 0
    user = find_user(data, "user1")
    assert user is not None
    assert user.role is Role.SUBMITTER


def test_a_name_that_is_taken_is_refused(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    give(standard_input, STRONG)
    main(["user", "add", "ana", "--password-stdin"])
    give(standard_input, STRONG)

    code = main(["user", "add", "ana", "--password-stdin"])

    assert code == 1
    assert "ana exists already" in capsys.readouterr().err


def test_without_a_terminal_the_password_is_not_asked_for(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["user", "add", "ana"])

    assert code == 2
    assert "--password-stdin" in capsys.readouterr().err


def test_users_are_listed_with_tabs_for_a_program(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    give(standard_input, STRONG)
    main(["user", "add", "ana", "--password-stdin"])
    capsys.readouterr()

    code = main(["user", "list"])

    assert code == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads == "NAME\tROLE\tSTATE\tCREATED"
    assert row.split("\t")[:3] == ["ana", "submitter", "active"]


def test_an_unreachable_ledger_is_told_with_exit_code_7(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "ledger.db").mkdir(parents=True)

    code = main(["user", "list"])

    assert code == 7
    assert capsys.readouterr().err.startswith("error: not reachable")


def test_the_json_of_users_holds_no_hash() -> None:
    assert user_facts(ANA) == {
        "name": "ana",
        "role": "admin",
        "state": "active",
        "created_at": "2026-11-22T15:00:00+00:00",
    }


def test_the_table_of_users_holds_no_hash() -> None:
    assert "canary" not in "".join(user_table([ANA], is_aligned=True))


def test_a_password_is_changed_and_a_user_disabled(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    give(standard_input, STRONG)
    main(["user", "add", "ana", "--password-stdin"])
    standard_input.seek(0)
    standard_input.truncate()
    give(standard_input, "five copper kettles singing")

    capsys.readouterr()
    changed = main(["user", "set-password", "ana", "--password-stdin", "-q"])
    named = capsys.readouterr().out
    disabled = main(["user", "disable", "ana", "--json"])
    facts = json.loads(capsys.readouterr().out)
    unknown = main(["user", "disable", "nobody"])

    assert (changed, disabled, unknown) == (0, 0, 5)
    assert named == "ana\n"
    assert (facts["name"], facts["state"]) == ("ana", "disabled")
    user = find_user(data, "ana")
    assert user is not None
    assert user.is_disabled
    assert Hasher().verify("five copper kettles singing", user.password_hash)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], "Password for ana (12 characters or more; Enter alone makes a link):"),
        (["--allow-weak"], "Password for ana (Enter alone makes a link):"),
    ],
)
def test_somebody_at_a_terminal_is_told_first_how_long_a_password_is(
    data: Path,
    standard_input: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    asked: str,
) -> None:
    monkeypatch.setattr(standard_input, "isatty", lambda: True)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt.strip())
        return STRONG

    monkeypatch.setattr("click.termui.hidden_prompt_func", answer)

    assert main(["user", "add", "ana", *words]) == 0
    assert prompts[0] == asked
    assert find_user(data, "ana") is not None


def test_somebody_at_a_terminal_types_a_good_password_twice_until_both_are_the_same(
    data: Path,
    standard_input: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(standard_input, "isatty", lambda: True)
    typed = iter(["short", STRONG, f"{STRONG}?", STRONG, STRONG])
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _prompt: next(typed))

    refused = main(["user", "add", "ana"])
    told = capsys.readouterr().err
    added = main(["user", "add", "ana"])

    assert refused != 0
    assert "shorter than 12 characters" in told
    assert added == 0
    assert "not the same" in capsys.readouterr().err
    assert next(typed, None) is None
    assert find_user(data, "ana") is not None


def test_a_user_who_is_there_already_is_told_before_a_password_is_asked_for(
    data: Path, standard_input: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["user", "add", "ana", "--link"]) == 0
    capsys.readouterr()

    # Nothing stands on standard input: nobody could answer.
    code = main(["user", "add", "ana"])

    assert code == 1
    assert "ana exists already" in capsys.readouterr().err


def test_a_user_can_be_added_by_a_link(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["user", "add", "ana", "--role", "operator", "--link", "--url", "https://c.example/"]
    )

    assert code == 0
    said = capsys.readouterr()
    assert said.err.startswith("created ana (operator)\none-time link, good for 24 hours")
    assert said.out.startswith("https://c.example/start/user.")
    assert len(said.out.splitlines()) == 1
    user = find_user(data, "ana")
    assert user is not None
    assert user.role is Role.OPERATOR


def test_somebody_who_types_no_password_gets_a_link(
    data: Path,
    standard_input: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(standard_input, "isatty", lambda: True)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _prompt: "")

    code = main(["user", "add", "ana", "--url", "https://c.example"])

    assert code == 0
    assert capsys.readouterr().out.startswith("https://c.example/start/user.")
    assert find_user(data, "ana") is not None


def test_a_new_password_has_to_be_typed(
    data: Path, standard_input: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["user", "add", "ana", "--link", "--url", "https://c.example"])
    before = find_user(data, "ana")
    monkeypatch.setattr(standard_input, "isatty", lambda: True)
    typed = iter(["", STRONG, STRONG])
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _prompt: next(typed))

    assert main(["user", "set-password", "ana"]) == 0

    assert find_user(data, "ana") != before
    assert next(typed, None) is None


def test_a_link_leads_to_the_service_that_runs_here(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: a service that moved to another port, as `up` left word of it
    main(["user", "add", "ana", "--link"])
    ensure_data_dir(data)
    write_profile(local_profile(data), Profile(url="http://127.0.0.1:8001", key="ck_x"))
    capsys.readouterr()

    code = main(["user", "reset-link", "ana", "--json"])

    assert code == 0
    told = capsys.readouterr()
    said = json.loads(told.out)
    assert said["name"] == "ana"
    assert said["link"].startswith("http://127.0.0.1:8001/start/user.")
    # It was killed, or stopped for a while.
    assert "does not run" in told.err


def test_a_link_leads_to_the_service_of_its_own_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given: another folder with a service, and a profile of this user for one far away
    ensure_data_dir(data)
    write_profile(local_profile(data), Profile(url="http://127.0.0.1:8001", key="ck_x"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    far = Profile(url="https://far.example", key="ck_x")
    write_profile(tmp_path / "config" / "celeriac" / "profile.json", far)
    other = tmp_path / "other"
    ensure_data_dir(other)
    write_profile(local_profile(other), Profile(url="http://127.0.0.1:8002", key="ck_x"))
    links = []
    lock = DataFolderLock(other)
    lock.acquire()

    for options in ([], ["--database-url", f"sqlite:///{other / 'elsewhere.db'}"]):
        words = ["--data", str(other), *options]
        main(["user", "add", "ana", "--link", *words])
        capsys.readouterr()
        assert main(["user", "reset-link", "ana", "-q", *words]) == 0
        links.append(capsys.readouterr())

    lock.release()
    assert links[0].out.startswith("http://127.0.0.1:8002/start/user.")
    assert links[0].err == ""
    # Another ledger's people: which service has them is not known.
    assert links[1].out.startswith("/start/user.")
    assert "--url" in links[1].err


@pytest.mark.parametrize("url", ["c.example", "ftp://c.example", "https://", "https://a b"])
def test_a_link_leads_to_no_address_that_is_none(
    data: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    code = main(["user", "add", "ana", "--link", "--url", url])

    assert code == 2
    assert "--url" in capsys.readouterr().err
    assert not (data / "ledger.db").exists()


def test_without_a_service_a_link_says_what_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CELERIAC_URL", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(data / "none"))
    main(["user", "add", "ana", "--link"])
    capsys.readouterr()

    code = main(["user", "reset-link", "ana", "--quiet"])

    assert code == 0
    said = capsys.readouterr()
    assert said.out.startswith("/start/user.")
    assert "--url" in said.err


@pytest.mark.parametrize("name", ["nobody", "gone"])
def test_nobody_gets_a_link_who_may_not_sign_in(
    data: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    main(["user", "add", "gone", "--link"])
    main(["user", "disable", "gone"])
    capsys.readouterr()

    code = main(["user", "reset-link", name])

    assert code == 5
    said = capsys.readouterr()
    assert said.out == ""
    assert name in said.err


def test_a_link_and_a_password_do_not_go_together(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["user", "add", "ana", "--link", "--password-stdin"])

    assert code == 2
    assert not (data / "ledger.db").exists()
