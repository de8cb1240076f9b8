"""What a worker says to its broker and its ledger for a thousand tasks: it goes by batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.core.page import TaskFilter
from celeriac.core.state import TaskState
from celeriac.core.task import NewTask, TaskId
from tests.engines import make_arguments, open_app
from tests.servers.postgres import PostgresServer
from tests.servers.processes import clean_environment, wait_until
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

TASKS = 1000
MOST_COMMANDS = 40
MOST_STATEMENTS = 60
# What a worker says to the broker when it starts and as time goes by, however many tasks it runs:
# greetings, declarations, the janitor's looks, the word to whoever watches. All else is for tasks.
NOT_FOR_TASKS = (
    "HELLO",
    "CLIENT",
    "PING",
    "INFO",
    "SCRIPT LOAD",
    "LLEN",
    "PSUBSCRIBE",
    "_kombu.binding",
    "unacked_mutex",
    "unacked_index",
    "celeriac:parkings",
    "celeriac:epoch",
    "celeriac:changes",
)
# What frames a transaction, and what comes with the start and with time: the ledger's revision,
# heartbeats, wishes to cancel, paused queues.
CLOCKWORK = (
    "BEGIN",
    "COMMIT",
    "alembic_version",
    "pg_catalog",
    "current_schema",
    "show ",
    "SET SESSION",
    "PRAGMA",
    "repertoires",
    "current_setting",
    "UPDATE workers",
    "INSERT INTO workers",
    "tasks.cancel_requested_at IS NOT",
    "paused",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A broker of its own: at a shared one a stage's worker would take these doorbells."""
    with ValkeyServer(tmp_path / "valkey") as server:
        yield server


def test_a_thousand_tasks_cost_a_worker_few_round_trips(
    tmp_path: Path, broker: ValkeyServer, database_url: str
) -> None:
    # Whatever else keeps the machine busy cuts a batch in two: the best of three is what it costs.
    costs = (count_round_trips(tmp_path, broker, database_url, turn) for turn in range(3))

    assert any(
        len(spoken) < MOST_COMMANDS and len(said) < MOST_STATEMENTS for spoken, said in costs
    )


def count_round_trips(
    folder: Path, broker: ValkeyServer, database_url: str, turn: int
) -> tuple[list[str], list[str]]:
    """Run a thousand tasks; return what was said to the broker and to the ledger for them."""
    told = folder / f"statements-{turn}.txt"
    settings = {
        "CELERIAC_BROKER_URL": broker.url,
        "CELERIAC_DATABASE_URL": database_url,
        "CELERIAC_DATA_DIR": str(folder),
        "STATEMENTS_FILE": str(told),
    }
    worker = WorkerProcess(
        "tests.integration.apps.counted",
        folder=folder,
        environment=clean_environment(settings),
        arguments=("--without-mingle", "--without-gossip", "--without-heartbeat"),
    )
    with open_app(folder, broker_url=broker.url, database_url=database_url) as app:
        ledger = app.celeriac.ledger
        bells = ledger.tasks.insert([new_noop(f"{turn}-{number}") for number in range(TASKS)])
        app.celeriac.publisher.ring(bells)

        with broker.client().monitor() as monitor, worker:
            unfinished = TaskFilter(states=(TaskState.QUEUED, TaskState.RUNNING))
            wait_until(
                lambda: not ledger.tasks.list(unfinished, after=None, limit=1).items,
                "all tasks have ended",
                seconds=60,
                pause=0.2,
            )
            spoken = [
                command[:80]
                for command in commands_of(broker, monitor)
                if not any(words in command[:80] for words in NOT_FOR_TASKS)
            ]
    said = [
        statement
        for statement in told.read_text(encoding="utf-8").splitlines()
        if not any(words in statement for words in CLOCKWORK)
    ]
    # Whoever counts sees what there is to count, by whatever road it goes.
    assert_seen(spoken, "EVALSHA", "BRPOP")
    assert_seen(said, "UPDATE tasks SET state='completed'", "WITH ")
    return spoken, said


def assert_seen(told: list[str], *words: str) -> None:
    """Check that each kind of what is counted is among what was told."""
    for word in words:
        assert any(word in each for each in told), f"no {word} among {told}"


def new_noop(name: str) -> NewTask:
    return NewTask(id=TaskId(f"task-{name}"), name="noop", arguments=make_arguments(7))


def commands_of(broker: ValkeyServer, monitor: Any) -> Iterator[str]:
    """Yield the commands that clients have sent since the monitor began."""
    broker.client().echo("the end")
    while (each := monitor.next_command())["command"] != "ECHO the end":
        # What a script does costs no round trip.
        if each["client_type"] != "lua":
            yield str(each["command"])
