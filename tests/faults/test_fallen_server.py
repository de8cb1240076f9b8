"""A PostgreSQL that falls in the moment in which its tasks are claimed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.core.state import TaskState
from tests.faults.conftest import QUICK
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer
from tests.stage import Stage

# Longer than it takes until a task that nobody claimed is rung for again.
_SECONDS = 3.5


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that brings to its disk only what somebody waits for."""
    with PostgresServer(wal_writer_delay="10s", wal_writer_flush_after="1GB") as made:
        yield made


@pytest.fixture
def stage(tmp_path: Path, broker: ValkeyServer, server: PostgresServer) -> Iterator[Stage]:
    """A quick stage on that server."""
    url = server.create_database()
    with Stage(tmp_path, broker=broker, ledger_url=url, concurrency=2, settings=QUICK) as made:
        yield made


def test_what_a_worker_runs_when_the_server_falls_runs_once(
    stage: Stage, server: PostgresServer, key: str
) -> None:
    workers = [stage.worker, stage.add_worker("another")]
    for worker in workers:
        worker.start_ready()
    sent: list[str] = []
    # A heartbeat in between brings the claim to the disk, and there is nothing to be forgotten.
    while not any("had forgotten claims" in worker.log_text() for worker in workers):
        assert len(sent) < 10, "no claim was forgotten"
        number = len(sent)
        sent.append(stage.client.mark_before.delay(f"{key}:{number}", _SECONDS).id)
        stage.wait_for_effect(f"{key}:{number}")

        server.restart()

        stage.wait_for_state(sent[-1], TaskState.COMPLETED, seconds=30)

    for number, task_id in enumerate(sent):
        assert len(stage.effects.of(f"{key}:{number}")) == 1
        assert stage.endings(task_id) == ["completed"]
