"""A stage of its own for each kind of fault: nothing is shared with a test that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage
from tests.worker_logs import pytest_runtest_makereport as pytest_runtest_makereport

# A worker is doubted, and a forgotten task is rung for, after two seconds: faults are quick here.
QUICK = {"CELERIAC_LEASE_SECONDS": "2", "CELERIAC_RING_AGAIN_SECONDS": "2"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Valkey for one test."""
    with ValkeyServer(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def stage(tmp_path: Path, broker: ValkeyServer) -> Iterator[Stage]:
    """A quick stage on SQLite whose worker has not been started yet."""
    with Stage(tmp_path, broker=broker, settings=QUICK) as stage:
        yield stage


@pytest.fixture(params=["sqlite", "postgresql"])
def stage_on_either_ledger(
    request: pytest.FixtureRequest, tmp_path: Path, broker: ValkeyServer
) -> Iterator[Stage]:
    """A quick stage with four slots, once on each kind of ledger."""
    if request.param == "sqlite":
        with Stage(tmp_path, broker=broker, concurrency=4, settings=QUICK) as stage:
            yield stage
        return
    with PostgresServer() as server:
        url = server.create_database()
        with Stage(tmp_path, broker=broker, ledger_url=url, concurrency=4, settings=QUICK) as stage:
            yield stage


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return uuid4().hex
