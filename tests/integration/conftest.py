"""The stages of the integration tests: one worker per pool and ledger, shared by their tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.processes import ProcessFailedError
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage
from tests.worker_logs import pytest_runtest_makereport as pytest_runtest_makereport

COMBINATIONS = [
    *((pool, ledger) for ledger in ("sqlite", "postgresql") for pool in ("solo", "processes")),
    ("threads", "sqlite"),
]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey for all stages; each stage is alone with it while it plays."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL with a database for whoever asks."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(
    scope="session",
    params=COMBINATIONS,
    ids=["-".join(combination) for combination in COMBINATIONS],
)
def running_stage(
    request: pytest.FixtureRequest,
    broker: ValkeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """A worker that runs, of one pool on one ledger."""
    pool, ledger = request.param
    ledger_url = ""
    if ledger == "postgresql":
        ledger_url = request.getfixturevalue("postgres").create_database()
    folder = tmp_path_factory.mktemp(f"{pool}-{ledger}")
    # What the stage before left in the broker is not for this one's ledger.
    broker.client().flushall()
    with Stage(folder, broker=broker, ledger_url=ledger_url, pool=pool) as stage:
        stage.worker.start_ready()
        yield stage


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running stage, left as it was found: every task has ended when the test has."""
    if not running_stage.worker.is_running:
        running_stage.worker.start_ready()
    running_stage.client.app.set_current()
    yield running_stage
    try:
        running_stage.wait_until_all_end()
    except ProcessFailedError:
        running_stage.clear()
        raise


@pytest.fixture
def client(stage: Stage) -> Any:
    """The app's module as a user's program imports it."""
    return stage.client


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return uuid4().hex


def pytest_configure(config: pytest.Config) -> None:
    """Make our marker known."""
    line = (
        "only(pool=..., ledger=...): play this test on the stages of some pools or one ledger only"
    )
    config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop a marked test on stages it is not for.

    Dropped, not skipped: there is nothing on this machine that would make it run there. And
    dropped here, because stages of the same number in the same list are shared by pytest.
    """
    items[:] = [item for item in items if _is_for_its_stage(item)]


def _is_for_its_stage(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    combination = callspec.params.get("running_stage") if callspec else None
    if combination is None:
        return True
    pool, ledger = combination
    return all(
        pool in mark.kwargs.get("pool", pool).split()
        and mark.kwargs.get("ledger", ledger) == ledger
        for mark in item.iter_markers("only")
    )
