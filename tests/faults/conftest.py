"""A stage of its own for each kind of fault: nothing is shared with a test that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

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


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return uuid4().hex
