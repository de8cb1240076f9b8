from __future__ import annotations

import json
from pathlib import Path

import pytest

from celeriac.cli import main
from celeriac.core.user import Role
from celeriac.ledger.open import open_ledger
from celeriac.service.keys import hash_key
from celeriac.service.secrets import ensure_data_dir


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one user, named by the environment."""
    folder = ensure_data_dir(tmp_path / "data")
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(folder))
    monkeypatch.delenv("CELERIAC_DATABASE_URL", raising=False)
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.users.add("ada", "", Role.OPERATOR)
    ledger.close()
    return folder


def test_a_key_is_printed_once_alone_and_then_listed_without_itself(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--user=ada", "--scope=read,operate", "--task=image.*", "--expires=90d"]
    code = main(["key", "create", "ci", *words])

    made = capsys.readouterr()
    assert code == 0
    text = made.out.strip()
    assert text.startswith("ck_")
    assert text not in made.err
    assert main(["key", "list", "--user=ada", "--json"]) == 0
    listed = capsys.readouterr().out
    assert text not in listed
    (facts,) = json.loads(listed)
    assert (facts["label"], facts["scopes"]) == ("ci", ["operate", "read"])
    assert facts["task_patterns"] == ["image.*"]
    assert facts["state"] == "expires in 90 d"
    ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
    assert ledger.keys.find_by_hash(hash_key(text)) is not None
    ledger.close()


def test_a_key_is_revoked_by_how_it_begins(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["key", "create", "ci", "--user=ada"])
    text = capsys.readouterr().out

    code = main(["key", "revoke", text[:10], "--user=ada", "--json"])
    facts = json.loads(capsys.readouterr().out)
    main(["key", "revoke", facts["id"], "--user=ada", "-q"])
    named = capsys.readouterr().out
    assert (facts["label"], facts["state"]) == ("ci", "revoked")
    main(["key", "list", "--user=ada"])

    assert code == 0
    assert facts["label"] == "ci"
    assert named == f"{facts['id']}\n"
    assert "\trevoked\t" in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "ci", "--user=nobody"], 5),
        (["create", "ci"], 2),
        (["create", "ci", "--user=ada", "--scope=king"], 2),
        (["create", "ci", "--user=ada", "--scope="], 6),
        (["create", "ci", "--user=ada", "--task=[a]"], 6),
        (["create", "ci", "--user=ada", "--expires=soon"], 2),
        (["revoke", "nothing", "--user=ada"], 5),
    ],
)
def test_a_wish_that_makes_no_sense_makes_no_key(
    data: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", *words]) == code
    assert capsys.readouterr().out == ""
