"""An ordinary Celery app with a plain producer: on stock Celery, and on ours without a change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celeriac.core.page import TaskFilter
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import TaskId
from celeriac.ledger.open import Ledger, open_ledger
from tests.servers.postgres import PostgresServer
from tests.servers.processes import PROJECT, Process, clean_environment, wait_until
from tests.servers.valkey import ValkeyServer

SHOP = PROJECT / "examples" / "existing-celery-app"


class Shop:
    """The example in a folder of its own, on a broker of its own."""

    def __init__(
        self,
        folder: Path,
        broker: ValkeyServer,
        *,
        pool: str = "processes",
        ledger_url: str = "",
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.journal = folder / "journal.txt"
        self.data = folder / "data"
        self.ledger_url = ledger_url or f"sqlite:///{self.data / 'ledger.db'}"
        self._pool = pool
        redis = f"redis://127.0.0.1:{broker.port}"
        self.environment = clean_environment(
            {
                "SHOP_REDIS": redis,
                "SHOP_JOURNAL": str(self.journal),
                "CELERIAC_DATA_DIR": str(self.data),
                **({"CELERIAC_DATABASE_URL": ledger_url} if ledger_url else {}),
                "CELERIAC_LEASE_SECONDS": "2",
                "PYTHONPATH": str(PROJECT),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )
        # A producer's app as plain Celery has it, with nothing of ours.
        self.producer = Celery(
            "shop", broker=f"{redis}/0", backend=f"{redis}/1", set_as_current=False
        )
        self._started = 0

    def stock_worker(self) -> Process:
        """Return stock Celery's worker."""
        return self._process("-m", "celery", "-A", "shop", "worker", "-c", "2", "--loglevel=info")

    def our_worker(self) -> Process:
        """Return a worker of ours on the same app."""
        return self._process(
            *("-m", "celeriac", "worker", "--app", "shop:app"),
            # One that runs a task at a time has no use for a second slot.
            *("--concurrency", "1" if self._pool == "solo" else "2", f"--pool={self._pool}"),
        )

    def produce(self) -> dict[str, Any]:
        """Run the producer and return what it got."""
        done = subprocess.run(
            [sys.executable, "producer.py"],
            cwd=SHOP,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results: dict[str, Any] = json.loads(done.stdout)
        return results

    def lines(self) -> list[str]:
        """Return what the tasks have done, in no order."""
        return sorted(self.journal.read_text().splitlines()) if self.journal.exists() else []

    def ledger(self) -> Ledger:
        """Return the ledger of our worker."""
        return open_ledger(self.ledger_url)

    def _process(self, *words: str) -> Process:
        self._started += 1
        log = self.folder / f"worker-{self._started}.log"
        return Process([sys.executable, *words], log=log, environment=self.environment, folder=SHOP)


# Each runner; and the other ledger, on which what is to run at most once is claimed in another way.
everywhere = pytest.mark.parametrize(
    "shop",
    [("processes", "sqlite"), ("threads", "sqlite"), ("solo", "sqlite"), ("processes", "server")],
    indirect=True,
    ids=["processes", "threads", "solo", "server"],
)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """The example, which nobody runs yet."""
    pool, ledger = getattr(request, "param", ("processes", "sqlite"))
    ledger_url = ""
    if ledger == "server":
        server: PostgresServer = request.getfixturevalue("postgres")
        ledger_url = server.create_database()
    with ValkeyServer(tmp_path / "valkey") as broker:
        shop = Shop(tmp_path, broker, pool=pool, ledger_url=ledger_url)
        yield shop
        shop.producer.close()


@pytest.fixture(scope="module")
def on_stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """What the producer gets on stock Celery, and what the tasks do there."""
    folder = tmp_path_factory.mktemp("stock")
    with ValkeyServer(folder / "valkey") as broker:
        shop = Shop(folder, broker)
        with shop.stock_worker() as worker:
            worker.wait_for_log("ready.", seconds=30)
            seen = shop.produce(), shop.lines()
        shop.producer.close()
    return seen


@everywhere
def test_results_and_effects_are_the_same_as_on_stock_celery(
    shop: Shop, on_stock: tuple[dict[str, Any], list[str]]
) -> None:
    expected, expected_lines = on_stock

    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        results, lines = shop.produce(), shop.lines()

    assert results == expected
    assert lines == expected_lines
    assert results["seen"] == [True, True]
    assert "send parcel of 7 to Paris" in lines
    ledger = shop.ledger()
    kept = ledger.tasks.list(TaskFilter(), after=None, limit=200).items
    ledger.close()
    # Of each of three chords its parts, its body, and what counts them.
    assert len(kept) == 13 + 12 + 5 + 4
    assert all(task.state.is_final for task in kept)


def test_messages_that_lay_in_the_broker_are_taken_in(shop: Shop) -> None:
    sent = [shop.producer.send_task("shop.charge", (number, 1)) for number in range(300)]

    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        got = [result.get(timeout=60) for result in sent]

    assert got == [{"order": number, "cents": 1} for number in range(300)]
    assert len(shop.lines()) == 300


def test_messages_are_taken_in_while_every_child_is_busy(shop: Shop) -> None:
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        for number in (1, 2):
            shop.producer.send_task("shop.charge", (number, 1), {"seconds": 60})
        wait_until(lambda: len(shop.lines()) == 2, "both children are busy")

        for number in range(3, 203):
            shop.producer.send_task("shop.charge", (number, 1))

        ledger = shop.ledger()
        wait_until(
            lambda: sum(ledger.tasks.count_unfinished().values()) == 202, "all are in the ledger"
        )
        ledger.close()
        assert len(shop.lines()) == 2
        worker.kill_group()


@everywhere
def test_early_acknowledged_task_whose_worker_is_killed_runs_at_most_once(shop: Shop) -> None:
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        early = shop.producer.send_task("shop.charge", (1, 100), {"seconds": 60})
        wait_until(lambda: shop.lines() == ["charge 1"], "it runs")
        worker.kill_group()

    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        failed = early.get(timeout=60, propagate=False)

    assert isinstance(failed, Exception)
    assert shop.lines() == ["charge 1"]
    ledger = shop.ledger()
    task = ledger.tasks.get(TaskId(early.id))
    ledger.close()
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.kind is ErrorKind.INDETERMINATE


@everywhere
def test_late_acknowledged_task_whose_worker_is_killed_runs_again(shop: Shop) -> None:
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        late = shop.producer.send_task("shop.pack", ({"order": 1},), {"seconds": 3})
        wait_until(lambda: shop.lines() == ["pack 1"], "it runs")
        worker.kill_group()

    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        result = late.get(timeout=60)

    assert result == "parcel of 1"
    assert shop.lines() == ["pack 1", "pack 1"]


def test_a_result_that_its_worker_could_not_announce_any_more_comes_all_the_same(
    shop: Shop,
) -> None:
    # Given: a task ends while nobody can be told of it
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        sent = shop.producer.send_task("shop.charge", (1, 100), {"seconds": 1})
        wait_until(lambda: shop.lines() == ["charge 1"], "it runs")
        ledger = shop.ledger()
        shop.broker.signal(signal.SIGSTOP)
        wait_until(lambda: ledger.tasks.get(TaskId(sent.id)).state.is_final, "it is written down")
        ledger.close()

        # When: its worker dies at that moment
        worker.kill_group()
        shop.broker.signal(signal.SIGCONT)

    # Then: plain Celery, which looks into the broker alone, gets the result
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        assert sent.get(timeout=30) == {"order": 1, "cents": 100}
    assert shop.lines() == ["charge 1"]


def test_a_result_of_a_time_without_a_broker_comes_when_it_is_back(shop: Shop) -> None:
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        sent = shop.producer.send_task("shop.charge", (1, 100), {"seconds": 1})
        wait_until(lambda: shop.lines() == ["charge 1"], "it runs")
        ledger = shop.ledger()
        shop.broker.kill()
        wait_until(lambda: ledger.tasks.get(TaskId(sent.id)).state.is_final, "it is written down")
        ledger.close()

        # A broker takes longer to start than a worker to find that it is away.
        shop.broker.start()

        assert sent.get(timeout=60) == {"order": 1, "cents": 100}


def test_death_of_a_worker_costs_early_acknowledged_tasks_that_ran_and_no_other(
    shop: Shop,
) -> None:
    sent = [
        shop.producer.send_task("shop.charge", (number, 1), {"seconds": 0.02})
        for number in range(200)
    ]
    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        wait_until(lambda: len(shop.lines()) > 30, "some have run")
        worker.kill_group()

    with shop.our_worker() as worker:
        worker.wait_for_log("ready.", seconds=30)
        results = [result.get(timeout=60, propagate=False) for result in sent]

    lost = [result for result in results if isinstance(result, Exception)]
    # Two children: what each was at, and no task that waited.
    assert len(lost) <= 2
    assert len(shop.lines()) == len(set(shop.lines())) >= 200 - len(lost)
