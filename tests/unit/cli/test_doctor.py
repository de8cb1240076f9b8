from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from celeriac.cli.doctor import look_at_all, look_at_ledger
from celeriac.ledger.open import open_ledger
from celeriac.service.findings import Verdict
from celeriac.settings import Settings
from tests.fakes import make_new_task, make_new_worker, open_test_ledger
from tests.servers.ports import free_port


def test_where_nothing_runs_the_doctor_says_so_first_and_speaks_of_no_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERIAC_BROKER_URL", raising=False)
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    settings = Settings(data_dir=tmp_path, broker_url=nobody)

    alone = look_at_all(settings, {})
    named = look_at_all(settings, {"broker_url": nobody})

    assert alone[0].text == "service   Celeriac is not running in this folder"
    assert alone[0].fix == "celeriac up"
    assert not any(each.text.startswith("broker") for each in alone)
    assert any(each.text.startswith("broker") for each in named)


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a service without a broker, with a task that waits and a worker."""
    monkeypatch.delenv("CELERIAC_BROKER_URL", raising=False)
    ledger = open_test_ledger(tmp_path)
    ledger.tasks.insert([make_new_task(queue="reports")])
    ledger.leases.join(make_new_worker())
    ledger.close()
    return Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{free_port()}/0")


def test_of_a_stopped_service_the_one_thing_that_helps_is_to_start_it(waiting: Settings) -> None:
    found = look_at_all(waiting, {})

    assert [each.fix for each in found if each.fix] == ["celeriac up"]
    assert "queues    1 task waits, and runs once the service does" in [each.text for each in found]
    assert not any("worker" in each.text for each in found)


def test_without_a_broker_no_worker_is_said_to_be_well(waiting: Settings) -> None:
    found = look_at_all(waiting, {"broker_url": waiting.broker_url})

    well = [each.text for each in found if each.verdict is Verdict.GOOD]
    assert not any(text.startswith("workers") for text in well)
    assert any("reports: 1 task waits and no worker" in each.text for each in found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE alembic_version SET version_num = '0008'", "it is at 0008, this knows"),
        ("DROP TABLE alembic_version", "it has no tables yet"),
    ],
)
def test_a_ledger_of_an_older_version_is_told_and_left_as_it_is(
    tmp_path: Path, change: str, why: str
) -> None:
    settings = Settings(data_dir=tmp_path)
    open_ledger(settings.ledger_url).close()
    with sqlite3.connect(tmp_path / "ledger.db") as file:
        file.execute(change)
        before = file.execute("SELECT * FROM sqlite_master").fetchall()
    file.close()

    (found,) = look_at_ledger(settings, lambda _: [])

    assert found.verdict is Verdict.PROBLEM
    assert why in found.text
    assert found.fix.startswith("celeriac up")
    with sqlite3.connect(tmp_path / "ledger.db") as file:
        assert file.execute("SELECT * FROM sqlite_master").fetchall() == before
    file.close()


def test_a_ledger_of_a_newer_version_needs_that_version_and_no_other_database(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    open_ledger(settings.ledger_url).close()
    with sqlite3.connect(tmp_path / "ledger.db") as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    file.close()

    (found,) = look_at_ledger(settings, lambda _: [])

    assert found.verdict is Verdict.PROBLEM
    assert "it is at 9999" in found.text
    assert found.fix.startswith("install the version that changed it")
