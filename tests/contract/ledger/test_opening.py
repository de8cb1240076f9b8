from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from celeriac.core.task import Arguments, Codec, TaskId
from celeriac.core.user import Role
from celeriac.errors import LedgerUnavailableError, SettingsError
from celeriac.ledger.open import Ledger, open_ledger
from celeriac.ledger.revision import MIGRATIONS, NEWEST
from celeriac.ledger.tables import metadata
from tests.contract.ledger.desk import new
from tests.servers.postgres import PostgresServer
from tests.servers.processes import PROJECT, clean_environment


def test_a_new_ledger_is_ready_and_is_found_as_it_was_left(own_url: str) -> None:
    first = open_ledger(own_url)
    first.ping()
    first.tasks.insert([new("a")])
    first.close()

    second = open_ledger(own_url)

    assert second.tasks.find("a") is not None
    second.close()


def test_many_programs_open_a_new_ledger_at_once(own_url: str) -> None:
    command = [sys.executable, "-c", "import sys; from celeriac.ledger.open import open_ledger\n"]
    command[2] += "open_ledger(sys.argv[1]).users.find('ada')"
    programs = [
        subprocess.Popen([*command, own_url], cwd=PROJECT, env=clean_environment())
        for _ in range(4)
    ]

    codes = [program.wait(60) for program in programs]

    assert codes == [0, 0, 0, 0]


def test_the_tables_are_those_the_statements_are_written_for(own_url: str) -> None:
    ledger = open_ledger(own_url)

    with ledger._database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_object": is_ours}
        )
        differences = compare_metadata(context, metadata)

    assert differences == []
    ledger.close()


def is_ours(_thing: object, name: str | None, kind: str, *_rest: object) -> bool:
    # Its expressions come back from the database in other words than they went in.
    return not (kind == "index" and name is not None and name.startswith("tasks_"))


def test_the_indexes_are_those_the_statements_are_written_for(own_url: str) -> None:
    ledger = open_ledger(own_url)
    is_lite = own_url.startswith("sqlite")
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if is_lite
        else "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        " AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE 'alembic%'"
    )

    with ledger._database.engine.connect() as connection:
        made = {row[0] for row in connection.exec_driver_sql(query.replace("%", "%%"))}

    ours = [index for table in metadata.tables.values() for index in table.indexes]
    assert made == {str(index.name) for index in ours}
    ledger.close()


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST


def test_a_ledger_of_a_newer_program_is_not_touched(own_url: str) -> None:
    ledger = open_ledger(own_url)
    with ledger._database.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    ledger.close()

    with pytest.raises(LedgerUnavailableError) as caught:
        open_ledger(own_url)

    assert "9999" in caught.value.reason


def test_a_migration_that_fails_leaves_nothing_behind(
    own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.ledger.revision.NEWEST", "0000")

    with pytest.raises(LedgerUnavailableError):
        open_ledger(own_url)
    monkeypatch.undo()

    open_ledger(own_url).close()


CHEAP = """
import sys
from celeriac.ledger.open import open_ledger
from tests.contract.ledger.desk import new
ledger = open_ledger(sys.argv[1])
ledger.tasks.insert([new("b")])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_ledger_that_is_current_is_opened_without_its_migrations(own_url: str) -> None:
    open_ledger(own_url).close()

    loaded = run(CHEAP, own_url).split()

    assert "sqlalchemy" in loaded
    assert "alembic" not in loaded
    assert ("psycopg" in loaded) == own_url.startswith("postgresql")


WITHOUT_POSIX = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
from celeriac.ledger.open import open_ledger
from tests.contract.ledger.desk import new
ledger = open_ledger(sys.argv[1])
ledger.tasks.insert([new("b")])
print(ledger.tasks.get("b").state)
"""


def test_a_ledger_works_where_posix_is_missing(tmp_path: Path) -> None:
    assert run(WITHOUT_POSIX, f"sqlite:///{tmp_path / 'ledger.db'}").strip() == "queued"


def run(program: str, url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nobody_else_may_read_a_ledgers_files(tmp_path: Path) -> None:
    path = tmp_path / "made" / "for us" / "ledger.db"

    ledger = open_ledger(f"sqlite:///{path}")
    ledger.tasks.insert([new("a")])

    rights = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert set(rights) == {
        f"ledger.db{end}" for end in ("", "-wal", "-shm", "-line", "-turn", "-first")
    }
    assert set(rights.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ledger.close()


def test_a_file_of_sqlite_keeps_what_was_promised(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

    with ledger._database.engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()

    assert (mode, synchronous) == ("wal", 2)
    ledger.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:secret@host/db",
        "not a url",
        "sqlite+aiosqlite:///x",
    ],
)
def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_ledger(url)

    assert caught.value.name == "CELERIAC_DATABASE_URL"
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_made_is_a_ledger_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LedgerUnavailableError):
        open_ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")


def test_a_file_that_is_no_database_is_a_ledger_away(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database at all, but long enough to look at" * 20)

    with pytest.raises(LedgerUnavailableError) as caught:
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

    assert "not a database" in caught.value.reason
    assert str(tmp_path / "ledger.db") in caught.value.reason


def test_a_file_that_was_removed_takes_no_task_and_is_taken_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.tasks.insert([new("before")])
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")

    with pytest.raises(LedgerUnavailableError):
        ledger.tasks.insert([new("lost")])
    with pytest.raises(LedgerUnavailableError):
        ledger.ping()
    assert not (tmp_path / "ledger.db").exists()

    (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")
    ledger.tasks.insert([new("after")])
    assert set(ledger.tasks.find_many([TaskId("before"), TaskId("lost"), TaskId("after")])) == {
        "before",
        "after",
    }
    ledger.close()


def test_a_file_that_was_replaced_takes_no_task(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    (tmp_path / "another").write_bytes(b"")
    (tmp_path / "another").rename(tmp_path / "ledger.db")

    with pytest.raises(LedgerUnavailableError) as caught:
        ledger.tasks.insert([new("lost")])

    assert "replaced" in caught.value.reason
    ledger.close()


def test_a_server_that_is_away_is_a_ledger_away() -> None:
    with pytest.raises(LedgerUnavailableError) as caught:
        open_ledger("postgres://ada:secret@127.0.0.1:1/ledger")

    assert "secret" not in caught.value.reason


def test_both_spellings_of_a_url_name_one_postgresql(postgres: PostgresServer) -> None:
    url = postgres.create_database()

    short = open_ledger(url.replace("postgresql://", "postgres://", 1))
    long = open_ledger(url)

    short.users.add("ada", "hash", Role.ADMIN)
    assert long.users.find("ada") is not None
    short.close()
    long.close()


def test_a_server_that_may_forget_a_commit_is_refused(postgres: PostgresServer) -> None:
    url = postgres.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        with pytest.raises(SettingsError) as caught:
            open_until_refused(url)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET full_page_writes")
            connection.execute("SELECT pg_reload_conf()")

    assert "full_page_writes" in caught.value.allowed


def open_until_refused(url: str) -> None:
    # The server reads its settings again in its own time.
    for _ in range(100):
        open_ledger(url).close()
        threading.Event().wait(0.05)


def test_a_role_that_need_not_wait_for_the_disk_waits_all_the_same(
    postgres: PostgresServer,
) -> None:
    url = postgres.create_database()
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())

    ledger = open_ledger(url)

    with ledger._database.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    ledger.close()


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_a_text_comes_back_as_it_went_whatever_encoding_is_usual_there(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    url = postgres.create_database(encoding=encoding)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    said = Arguments(codec=Codec.JSON, text='[["Grüße"],{}]')

    ledger = open_ledger(url)
    ledger.tasks.insert([new("é", arguments=said)])

    assert ledger.tasks.get("é").arguments == said
    ledger.close()


def test_a_closed_ledger_opens_again_by_itself(ledger: Ledger) -> None:
    ledger.close()

    assert ledger.tasks.insert([new("a")])[0] is not None
