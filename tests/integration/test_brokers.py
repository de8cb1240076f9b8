"""The same tasks over every kind of broker: the oldest Redis, TLS, sentinels, RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from celeriac.core.moments import utc_now
from celeriac.core.state import TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.engine.broker import broker_errors, connect_once
from celeriac.engine.broker_facts import ask_broker
from celeriac.engine.identity import machine_id
from celeriac.engine.janitor import Janitor
from celeriac.errors import BrokerUnavailableError
from celeriac.ledger.open import Ledger
from tests.engines import make_arguments, open_app
from tests.fakes import make_new_worker
from tests.faults.conftest import QUICK
from tests.servers.certificate import make_certificate
from tests.servers.processes import wait_until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import OldRedisServer, Sentinels, TlsRedisServer
from tests.stage import Stage


@pytest.fixture(scope="module", params=["redis", "rediss", "sentinel", "amqp"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A broker of each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    made: Any
    match request.param:
        case "redis":
            made = OldRedisServer(folder)
        case "rediss":
            certificate = make_certificate(folder / "tls")
            made = TlsRedisServer(folder, certificate, password="a password / of theirs")
        case "sentinel":
            made = Sentinels(folder)
        case _:
            made = RabbitServer(folder)
    with made:
        yield made


@pytest.fixture(scope="module")
def running_stage(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A worker on that broker."""
    folder = tmp_path_factory.mktemp("stage")
    with Stage(folder, broker=server, settings=QUICK) as stage:
        stage.worker.start_ready()
        yield stage


@pytest.fixture
def stage(running_stage: Stage) -> Iterator[Stage]:
    """The running stage; its worker is the same one after each test."""
    running_stage.client.app.set_current()
    yield running_stage
    running_stage.wait_until_all_end()


def test_tasks_chains_chords_and_retries_run(stage: Stage, key: str) -> None:
    client = stage.client
    plain = client.add.delay(1, 2)
    linked = chain(client.add.s(1, 2), client.add.s(3), client.add.s(4)).apply_async()
    counted = chord(client.add.s(n, n) for n in range(20))(client.total.s())
    later = client.mark.apply_async((key,), countdown=0.3)
    retried = client.retry_until.delay(f"{key}:retried", 3)

    assert plain.get(timeout=20) == 3
    assert linked.get(timeout=20) == 10
    assert counted.get(timeout=20) == 380
    assert later.get(timeout=20) == key
    retried.get(timeout=20)
    assert stage.effects.of(f"{key}:retried") != []


def test_a_crowd_of_tasks_runs_once_each(stage: Stage, key: str) -> None:
    tasks = [stage.client.mark.s(f"{key}:{n}") for n in range(300)]

    results = group(tasks).apply_async()

    assert results.get(timeout=60) == [f"{key}:{n}" for n in range(300)]
    assert [len(stage.effects.of(f"{key}:{n}")) for n in range(300)] == [1] * 300


def test_remote_control_finds_the_worker(stage: Stage, key: str) -> None:
    control = stage.client.app.control
    name = stage.worker.name

    assert control.ping(timeout=5, limit=1) == [{name: {"ok": "pong"}}]
    running = stage.client.linger.delay(key, 20)
    stage.wait_for_effect(f"{key}:start")
    active = control.inspect(timeout=5, limit=1).active() or {}
    assert [task["id"] for task in active[name]] == [running.id]
    control.revoke(running.id, terminate=True)

    stage.wait_for_state(running.id, TaskState.CANCELLED)
    assert stage.effects.of(key) == []


def test_a_killed_worker_loses_nothing(stage: Stage, key: str) -> None:
    ids = [stage.client.mark_after.delay(f"{key}:{n}", 0.01).id for n in range(60)]
    stage.wait_for_effect(f"{key}:5")

    stage.worker.kill()
    stage.worker.start_ready()

    stage.wait_until_all_end(seconds=60)
    assert {stage.get(each).state for each in ids} == {TaskState.COMPLETED}


def test_a_broker_that_is_lost_and_found_loses_nothing(stage: Stage, server: Any, key: str) -> None:
    before = [stage.client.mark_after.delay(f"{key}:{n}", 0.01).id for n in range(40)]

    if isinstance(server, Sentinels):
        server.fail_over()
    else:
        server.restart()
    after = [stage.client.mark.delay(f"{key}:after:{n}").id for n in range(5)]

    stage.wait_until_all_end(seconds=60)
    assert {stage.get(each).state for each in before + after} == {TaskState.COMPLETED}
    assert stage.worker.is_running


def test_a_broker_says_what_it_is(server: Any) -> None:
    assert ask_broker(server.url).product.split()[0] in ("Redis", "Valkey", "py-amqp")


def test_the_janitor_of_an_existing_app_goes_on_after_a_worker_is_gone(
    server: Any, tmp_path: Path
) -> None:
    with open_app(tmp_path, broker_url=server.url) as app:
        app.celeriac.adopts = True
        ledger: Ledger = app.celeriac.ledger
        ledger.leases.join(make_new_worker(machine=machine_id(), process_started="long ago"))
        janitor = Janitor(app)
        janitor.start()
        wait_until(lambda: not ledger.leases.workers(), "the worker was taken for gone")

        later = NewTask(
            id=TaskId("later"),
            name="add",
            arguments=make_arguments(),
            not_before=utc_now() + timedelta(seconds=0.5),
        )
        ledger.tasks.insert([later])

        wait_until(lambda: ledger.tasks.get("later").state is TaskState.QUEUED, "its time has come")
        janitor.stop()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with TlsRedisServer(tmp_path, make_certificate(tmp_path / "tls")) as server:
        with pytest.raises(BrokerUnavailableError) as refused:
            ask_broker(server.bare_url)
        with open_app(tmp_path, broker_url=server.bare_url) as app:
            connection = connect_once(app)
            with pytest.raises(broker_errors(connection)) as unheard:
                connection.default_channel.client.ping()
            connection.release()

    for error in (refused.value.__cause__, unheard.value):
        assert "certificate" in str(error).lower()
