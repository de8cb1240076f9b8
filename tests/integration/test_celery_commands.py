"""The `celery` command line on an app of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from celeriac.core.state import TaskState
from tests.servers.processes import PROJECT, Process, clean_environment
from tests.servers.valkey import ValkeyServer
from tests.stage import APP, Stage

pytestmark = pytest.mark.only(pool="processes", ledger="sqlite")


def celery(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", APP, *words],
        cwd=PROJECT,
        env=clean_environment(stage.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_task_is_called_and_its_result_is_read(stage: Stage, client: Any) -> None:
    called = celery(stage, "call", f"{APP}.add", "--args=[20, 1]")
    task_id = called.stdout.strip()
    assert client.app.AsyncResult(task_id).get(timeout=15) == 21

    read = celery(stage, "result", task_id)

    assert (called.returncode, read.returncode) == (0, 0)
    assert read.stdout.strip() == "21"


def test_workers_are_listed_and_answer(stage: Stage, client: Any) -> None:
    status = celery(stage, "status")
    pinged = celery(stage, "inspect", "ping", "-d", stage.worker.name)
    registered = celery(stage, "inspect", "registered", "--json")

    assert "1 node online" in status.stdout
    assert "pong" in pinged.stdout
    assert f"{APP}.add" in registered.stdout


def test_worker_is_controlled(stage: Stage, client: Any) -> None:
    limited = celery(stage, "control", "rate_limit", f"{APP}.echo", "100/s")
    told = celery(stage, "inspect", "favourite_colour")

    assert limited.returncode == 0, limited.stderr
    assert "new rate limit set successfully" in limited.stdout
    assert "green" in told.stdout


def test_running_task_is_terminated(stage: Stage, client: Any, key: str) -> None:
    result = client.linger.delay(key, 20)
    stage.wait_for_effect(f"{key}:start")

    terminated = celery(stage, "control", "terminate", "SIGTERM", result.id)

    assert terminated.returncode == 0, terminated.stderr
    stage.wait_for_state(result.id, TaskState.CANCELLED)
    assert (stage.effects.of(key), stage.get(result.id).crashes) == ([], 0)


def test_bindings_are_listed(stage: Stage) -> None:
    listed = celery(stage, "list", "bindings")

    assert ["default", "default", "default"] in [
        line.split() for line in listed.stdout.splitlines()
    ]


def test_messages_are_migrated_to_another_broker(
    stage: Stage, client: Any, key: str, tmp_path: Path
) -> None:
    result = client.mark.apply_async((key,), queue="moving")
    with ValkeyServer(tmp_path / "valkey") as other:
        urls = (stage.broker.url, other.url)

        migrated = celery(stage, "migrate", "-Q", "moving", "-n", "1", *urls)

        assert migrated.returncode == 0, migrated.stderr
        assert len(cast("list[Any]", other.client().keys("moving*"))) == 1
    stage.ledger.tasks.request_cancel(result.id)


def test_purged_doorbells_are_rung_again(stage: Stage, client: Any, key: str) -> None:
    with stage.all_slots_taken(f"{key}:gate"):
        result = client.mark.apply_async((key,), queue="purged")
        purged = celery(stage, "purge", "-f", "-Q", "purged")

    assert "Purged 1 message" in purged.stdout
    stage.ledger.tasks.request_cancel(result.id)


def test_report_and_graph_are_made(stage: Stage, client: Any) -> None:
    report = celery(stage, "report")
    graph = celery(stage, "graph", "bootsteps")

    assert "celery:5.7.0" in report.stdout
    assert graph.stdout.startswith("digraph")


def test_events_are_dumped(stage: Stage, client: Any, key: str) -> None:
    command = [sys.executable, "-m", "celery", "-A", APP, "events", "--dump"]
    environment = clean_environment(stage.environment)
    client.app.control.enable_events(reply=True, destination=[stage.worker.name], timeout=3)
    try:
        with Process(command, log=stage.folder / "events.log", environment=environment) as dump:
            dump.wait_for_log("worker")

            result = client.add.delay(1, 2)

            assert result.get(timeout=15) == 3
            dump.wait_for_log(result.id)
    finally:
        client.app.control.disable_events(reply=True, destination=[stage.worker.name], timeout=3)


def test_beat_sends_what_is_due(stage: Stage, client: Any) -> None:
    command = [
        *(sys.executable, "-m", "celery", "-A", APP, "beat", "--loglevel=info"),
        *("-s", str(stage.folder / "beat.db"), "--pidfile="),
    ]
    environment = clean_environment(stage.environment)

    with Process(command, log=stage.folder / "beat.log", environment=environment):
        stage.wait_for_effect("beat", count=2)
