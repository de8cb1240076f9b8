"""What the pages of `docs/` show, run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from celeriac.ledger.open import open_ledger
from tests.acceptance.machine import add_user1
from tests.papers import block_with, blocks, read
from tests.servers.postgres import PostgresServer
from tests.servers.processes import PROJECT, Process, clean_environment, wait_until
from tests.servers.services import ServiceProcess
from tests.servers.valkey import ValkeyServer

MOVED = read("docs/celery.md")
HTTP = read("docs/http.md")


class Shop:
    """The app of the page about Celery, written into a folder, with its worker and its service."""

    def __init__(self, folder: Path, broker: ValkeyServer) -> None:
        self.folder = folder
        app = block_with(MOVED, "python", "install(app)")
        (folder / "shop.py").write_text(app.replace("redis://localhost:6379", broker.url))
        (folder / "serving.py").write_text(block_with(MOVED, "python", "create_web"))
        self.settings = {
            "PYTHONPATH": f"{folder}:{PROJECT}",
            "CELERIAC_DATA_DIR": str(folder / "data"),
            "CELERIAC_BROKER_URL": broker.url,
        }
        worker = re.findall(r"`celery (-A shop worker[^`]*)`", MOVED)[0]
        self.worker = self.process(
            "worker", "celery", *worker.split(), "--pool=solo", "--loglevel=info"
        )
        self.beat = self.process(
            *(
                "beat",
                "celery",
                "-A",
                "beating",
                "beat",
                "--loglevel=info",
                "-s",
                str(folder / "schedule"),
            )
        )
        self.service = ServiceProcess(folder=folder, environment=self.settings, app="serving:app")
        # Celery's own scheduler, with the app as it is.
        (folder / "beating.py").write_text(
            "from shop import app\n"
            "app.conf.beat_schedule = {'now and then': {\n"
            "    'task': 'shop.charge', 'schedule': 1.0, 'args': (41,)}}\n"
        )

    def process(self, name: str, *words: str) -> Process:
        """Return one of its programs."""
        return Process(
            [sys.executable, "-m", *words],
            log=self.folder / f"{name}.log",
            environment=clean_environment(self.settings),
            folder=self.folder,
        )

    def produce(self, text: str) -> str:
        """Run a producer's lines and return what they print."""
        done = subprocess.run(
            [sys.executable, "-c", text],
            cwd=self.folder,
            env=clean_environment(self.settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with ValkeyServer(folder / "valkey") as broker:
        shop = Shop(folder, broker)
        with shop.worker, shop.service:
            shop.worker.wait_for_log(" ready.", seconds=60)
            shop.service.wait_until(shop.service.is_ready, "it is ready", seconds=60)
            add_user1(shop.settings)
            yield shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx.Client]:
    """The service of the shop, signed in."""
    with httpx.Client(base_url=shop.service.url, timeout=20) as client:
        form = {"username": "user1", "password": "password1"}
        token = client.post("/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_a_moved_app_is_called_as_ever(shop: Shop) -> None:
    assert shop.produce("import shop; print(shop.charge.delay(7).get(timeout=30))") == "charged 7"


def test_a_moved_app_is_served_over_http(client: httpx.Client) -> None:
    task = client.post("/tasks/shop.charge", json={"order_id": 8}, headers={"Prefer": "wait=30"})

    assert task.json()["result"] == "charged 8"


def test_celery_s_own_scheduler_sends_tasks_that_are_rows(shop: Shop) -> None:
    with shop.beat:
        shop.beat.wait_for_log("Sending due task", seconds=60)
        sent = (
            "import sqlite3; print(sqlite3.connect('data/ledger.db').execute({!r}).fetchone()[0])"
        )
        count = "SELECT count(*) FROM tasks WHERE state = 'completed' AND arguments LIKE '%41%'"

        wait_until(lambda: int(shop.produce(sent.format(count))) > 0, "it was run", seconds=60)


def test_every_operation_that_the_page_about_http_shows_exists(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    paths = {
        re.sub(r"\{\w+\}", "{}", path): {method.upper() for method in operations}
        for path, operations in described.items()
    }
    shown = re.findall(
        r"^(GET|POST|DELETE) (/[^\s?]+)", "\n".join(blocks_without_words(HTTP)), re.M
    )

    assert len(shown) > 15
    for method, path in shown:
        path = re.sub(r"^/tasks/[a-z]+\.[a-z]+$", "/tasks/{}", re.sub(r"\{\w+\}", "{}", path))
        assert method in paths.get(path, ()), f"{method} {path}"


def blocks_without_words(text: str) -> list[str]:
    """Return the blocks of no language."""
    return re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_every_waiting_because_stands_on_the_page() -> None:
    from celeriac.service.waiting import WaitingBecause

    table = HTTP.partition("| `waiting_because` |")[2].partition("\n\n")[0]

    assert all(f"`{reason}`" in table for reason in WaitingBecause)


@pytest.mark.parametrize("paper", sorted((PROJECT / "docs").glob("*.md")), ids=lambda p: p.stem)
def test_the_python_of_every_page_can_be_read(paper: Path) -> None:
    for block in blocks(paper.read_text(encoding="utf-8"), "python"):
        compile(block, paper.name, "exec")


def test_the_page_about_tasks_has_a_task_that_does_what_it_says(tmp_path: Path) -> None:
    block = block_with(read("docs/tasks.md"), "python", "report.write")
    program = (
        f"{block}\nassert write_report('2026-11', 3) == '2026-11-by hand.txt'\n"
        "try:\n    write_report('november')\nexcept Fail as error:\n    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=clean_environment({"CELERIAC_DATA_DIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "a month looks like 2026-11\n", done.stderr


def test_what_is_old_is_deleted_as_the_page_about_operations_says() -> None:
    (block,) = blocks(read("docs/operations.md"), "sql")
    with PostgresServer() as postgres:
        url = postgres.create_database()
        open_ledger(url).close()
        with psycopg.connect(url, autocommit=True) as connection:
            add = finished_task(connection)
            for name, days in (("old", 91), ("young", 89)):
                connection.execute(add, {"id": name, "days": days})

            for statement in filter(str.strip, block.split(";")):
                connection.execute(statement)

            left = connection.execute("SELECT id FROM tasks").fetchall()

    assert left == [("young",)]


def finished_task(connection: psycopg.Connection[tuple[Any, ...]]) -> Any:
    """Return a statement that adds a task which ended so many days ago."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = 'tasks' AND is_nullable = 'NO'"
    ).fetchall()
    ended = "extract(epoch FROM now() - make_interval(days => %(days)s)) * 1000000"
    plain = {"text": "''", "boolean": "false"}
    values = {name: plain.get(kind, "0") for name, kind in columns}
    values |= {"id": "%(id)s", "state": "'cancelled'", "finished_at": ended}
    return f"INSERT INTO tasks ({', '.join(values)}) VALUES ({', '.join(values.values())})"
