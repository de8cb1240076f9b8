"""A real Valkey, an app on it, and a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from celeriac.ledger.open import Ledger
from tests.engines import open_app
from tests.fakes import open_test_ledger
from tests.servers.valkey import ValkeyServer


class Monotonic:
    """A monotonic clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey for all tests here."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as made:
        yield made


@pytest.fixture
def valkey(server: ValkeyServer) -> ValkeyServer:
    """That Valkey, running and empty."""
    if not server.is_running:
        server.start()
    server.client().flushall()
    return server


@pytest.fixture
def app(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Celery]:
    """An app with a ledger and that broker."""
    open_test_ledger(tmp_path).close()
    with open_app(tmp_path, broker_url=valkey.url) as made:

        @made.task(name="add")
        def add(x: int = 0) -> int:
            return x

        yield made


@pytest.fixture
def ledger(app: Celery) -> Ledger:
    """The app's ledger."""
    opened: Ledger = app.celeriac.ledger
    return opened


@pytest.fixture
def clock() -> Monotonic:
    """The clock of whoever watches."""
    return Monotonic()
