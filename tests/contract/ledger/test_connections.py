"""Threads, forks, readers beside a writer, and a database that goes away and comes back."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection

from celeriac.core.state import TaskState
from celeriac.core.task import TaskId
from celeriac.errors import LedgerUnavailableError
from celeriac.ledger import file_access
from celeriac.ledger.line import LineTooLongError, WritersLine
from celeriac.ledger.open import Ledger, open_ledger
from celeriac.ledger.statement import Statement
from celeriac.ledger.transaction import Shape
from tests.contract.ledger.desk import Desk, new
from tests.servers.postgres import PostgresServer
from tests.servers.processes import PROJECT, clean_environment


def test_many_threads_use_one_ledger(desk: Desk, ledger: Ledger) -> None:
    def work(number: int) -> str:
        name = f"t{number}"
        ledger.tasks.insert([new(name)])
        desk.complete(desk.claim_one(name))
        return str(ledger.tasks.get(name).state)

    with ThreadPoolExecutor(12) as threads:
        states = list(threads.map(work, range(60)))

    assert states == ["completed"] * 60


def in_child(act: Callable[[], None]) -> int:
    """Run something in a forked child and return how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("before"))
    inherited = ledger._database.engine

    def act() -> None:
        assert ledger._database.engine is not inherited
        ledger.forget_connections()
        ledger.tasks.insert([new("from the child")])
        ledger.close()
        del globals()["inherited_by_nobody"]

    globals()["inherited_by_nobody"] = None
    assert in_child(act) == 0

    # The parent's connection was neither used nor closed: its session goes on.
    desk.put(new("after"))
    names = [TaskId("before"), TaskId("from the child"), TaskId("after")]
    assert set(ledger.tasks.find_many(names)) == set(names)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_write_does_not_keep_the_turn(
    desk: Desk, ledger: Ledger
) -> None:
    children = []

    def act(_connection: object) -> None:
        child = os.fork()
        if child == 0:
            # Outlives the write that it was born in.
            time.sleep(3)
            os._exit(0)
        children.append(child)

    ledger._database.write(act)

    started = time.monotonic()
    desk.put(new("a"))
    assert time.monotonic() - started < 2
    os.kill(children[0], 9)
    os.waitpid(children[0], 0)


def test_reads_do_not_wait_for_a_writer(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"))
    is_writing, may_end = threading.Event(), threading.Event()

    def act(connection: object) -> None:
        connection.exec_driver_sql("UPDATE tasks SET version = 99")  # type: ignore[attr-defined]
        is_writing.set()
        may_end.wait(10)

    writer = threading.Thread(target=ledger._database.write, args=(act,))
    writer.start()
    is_writing.wait(10)
    started = time.monotonic()

    version = ledger.tasks.get("a").version

    assert version == 1
    assert time.monotonic() - started < 1
    may_end.set()
    writer.join()
    assert ledger.tasks.get("a").version == 99


def test_an_error_in_a_write_undoes_all_of_it(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"))

    def act(connection: object) -> None:
        connection.exec_driver_sql("UPDATE tasks SET version = 99")  # type: ignore[attr-defined]
        raise KeyError

    with pytest.raises(KeyError):
        ledger._database.write(act)

    assert ledger.tasks.get("a").version == 1


def test_a_restarted_server_is_found_again_without_an_error() -> None:
    with PostgresServer() as server:
        ledger = open_ledger(server.create_database())
        ledger.tasks.insert([new("a")])
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(ledger.tasks.get, ["a"] * 20))

        server.restart()

        # The connections that were open are dead; nobody need hear of it.
        assert ledger.tasks.get("a").state is TaskState.QUEUED
        assert ledger.tasks.insert([new("b")])[0] is not None

        server.stop()
        with pytest.raises(LedgerUnavailableError):
            ledger.ping()
        with pytest.raises(LedgerUnavailableError):
            ledger.tasks.insert([new("c")])
        server.start()
        ledger.ping()
        assert ledger.tasks.find("c") is None
        ledger.close()


def test_two_that_meet_in_a_deadlock_both_get_through(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    ledger = open_ledger(postgres.create_database())
    ledger.tasks.insert([new("a"), new("b")])
    met = threading.Barrier(2, timeout=10)

    def work(first: str, second: str) -> None:
        tries = []

        def act(connection: object) -> None:
            tries.append(1)
            update = "UPDATE tasks SET version = version + 1 WHERE id = '{}'"
            connection.exec_driver_sql(update.format(first))  # type: ignore[attr-defined]
            if len(tries) == 1:
                met.wait()
            connection.exec_driver_sql(update.format(second))  # type: ignore[attr-defined]

        ledger._database.write(act)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, "a", "b"), threads.submit(work, "b", "a")]:
            done.result()

    assert ledger.tasks.get("a").version == 3
    assert ledger.tasks.get("b").version == 3
    ledger.close()


def test_a_writer_that_nobody_lets_write_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_access, "TURN_SECONDS", 0.2)
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}")
    # Somebody who knows nothing of our line.
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailableError) as caught:
        ledger.tasks.insert([new("a")])

    assert "locked" in caught.value.reason
    stranger.execute("ROLLBACK")
    stranger.close()
    assert ledger.tasks.insert([new("a")])[0] is not None
    ledger.close()


HOLD = """
import sys, time
from pathlib import Path
from celeriac.ledger.line import WritersLine
with WritersLine(Path(sys.argv[1])).turn(timeout_seconds=5):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_a_writers_turn_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    line = WritersLine(path)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        cwd=PROJECT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "mine\n"

    with pytest.raises(LineTooLongError), line.turn(timeout_seconds=0.1):
        raise AssertionError("two had the turn at once")
    other.kill()
    other.wait()
    other.stdout.close()
    with line.turn(timeout_seconds=5):
        pass
    line.close()


def test_whoever_has_just_written_goes_to_the_end_of_the_line(tmp_path: Path) -> None:
    turns: list[str] = []
    greedy, patient = (WritersLine(tmp_path / "ledger.db") for _ in range(2))
    may_end = threading.Event()

    def write_all_the_time() -> None:
        while not may_end.is_set():
            with greedy.turn(timeout_seconds=5):
                turns.append("greedy")
                time.sleep(0.002)

    writer = threading.Thread(target=write_all_the_time)
    writer.start()
    for _ in range(20):
        with patient.turn(timeout_seconds=5):
            turns.append("patient")
            time.sleep(0.002)
    may_end.set()
    writer.join()
    greedy.close()
    patient.close()

    begin = turns.index("patient")
    end = len(turns) - turns[::-1].index("patient")
    # Nobody is served twice while the other waits; a little more on a busy machine.
    assert turns[begin:end].count("greedy") < 60


# SQLite plans a statement once in any case.
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_claims_and_completions_are_planned_once_and_by_an_index(
    desk: Desk, ledger: Ledger
) -> None:
    statements = (ledger.leases._claims._claim_alone, ledger.leases._completions._finish)
    # So often that the driver has them prepared.
    for number in range(8):
        desk.complete(desk.begin(f"t{number}"))

    def look(connection: Connection) -> tuple[object, list[str]]:
        planned_anew = "SELECT sum(custom_plans) FROM pg_prepared_statements WHERE statement LIKE"
        anew = connection.exec_driver_sql(f"{planned_anew} 'WITH due AS%%UPDATE tasks%%'").scalar()
        return anew, [explain(connection, each) for each in statements]

    planned_anew, plans = ledger._database.write(look, shape=Shape.BY_ID)

    assert planned_anew == 0
    for plan in plans:
        assert "tasks_pkey" in plan
        assert "Seq Scan on tasks" not in plan


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_what_comes_in_is_found_by_an_index_whatever_the_plan_was_made_for(ledger: Ledger) -> None:
    submissions = ledger.submissions
    statements = {
        submissions._known: "tasks_pkey",
        submissions._arrivals._continue: "tasks_pkey",
        submissions._arrivals._rehang: "tasks_pkey",
        submissions._reservations._look: "reservations_pkey",
        ledger.tasks._known: "tasks_pkey",
    }

    def look(connection: Connection) -> dict[str, str]:
        for each in statements:
            each._compile()
        return {explain(connection, each): index for each, index in statements.items()}

    for plan, index in ledger._database.write(look, shape=Shape.BY_ID).items():
        assert index in plan
        assert "Seq Scan" not in plan


def explain(connection: Connection, statement: Statement) -> str:
    """Return how PostgreSQL runs a statement whatever is asked of it."""
    numbers = count(1)
    text = re.sub(r"%\(\w+\)s", lambda _: f"${next(numbers)}", statement._text)
    rows = connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {text}").fetchall()
    return "\n".join(row[0] for row in rows)
