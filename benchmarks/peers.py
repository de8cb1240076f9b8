"""The contenders whose queue lies in Redis: how each is filled, worked and read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.environments import node_with, python_with

_REDIS = ("redis==8.1.0", "hiredis==3.5.0")
_CELERY = ("-m", "celery", "-A", "benchmarks.apps.stock", "worker", "-c", "2", "-Q", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One contender; its environment is made when a command of it is first asked for."""

    title: str
    # The command that queues tasks, from the task's name and the arguments of each.
    fill: Callable[[str, Sequence[float]], list[str]]
    # The commands of all its worker processes.
    work: Callable[[], list[list[str]]]
    # How many tasks have ended: from clients of the databases 0 and 1, and how many there are.
    ended: Callable[[Any, Any, int], int]
    # What its processes need beside BENCH_BROKER.
    environment: Callable[[], Mapping[str, str]] = dict

    def count_ended(self, url: str, *, of: int) -> int:
        """Return how many of so many tasks have ended."""
        with redis.Redis.from_url(f"{url}/0") as first, redis.Redis.from_url(f"{url}/1") as second:
            return int(self.ended(first, second, of))


def _fill_python(module: str, *packages: str) -> Callable[[str, Sequence[float]], list[str]]:
    def fill(name: str, values: Sequence[float]) -> list[str]:
        python = str(python_with(*packages) / "python") if packages else sys.executable
        call = f"from benchmarks.apps.{module} import fill; fill({name!r}, {list(values)!r})"
        return [python, "-c", call]

    return fill


def _work(count: int, program: str, *arguments: str, packages: Sequence[str]) -> Any:
    return lambda: [[str(python_with(*packages) / program), *arguments]] * count


_HUEY = ("huey==3.5.4", *_REDIS)
_DRAMATIQ = ("dramatiq[redis]==2.2.1", *_REDIS)
_TASKIQ = ("taskiq==0.13.0", "taskiq-redis==1.2.4", "uvloop==0.23.0", *_REDIS)
_RQ = ("rq==3.0.0", *_REDIS)
ARQ = (
    *("arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0"),
    *("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "pyjwt==2.15.1"),
)
_BULLMQ = ("bullmq@6.7.0", "ioredis@5.11.1")
_BULLMQ_APP = "benchmarks/apps/bullmq_peer.cjs"

PEERS: dict[str, Peer] = {
    # In our own environment: it is the Celery that we run on.
    "stock": Peer(
        title="Celery prefork -c2, late ack",
        fill=_fill_python("stock"),
        work=lambda: [[sys.executable, *_CELERY, "--loglevel=error", "--without-mingle"]],
        ended=lambda _, second, of: second.dbsize(),
    ),
    "huey": Peer(
        title="Huey, 2 processes",
        fill=_fill_python("huey_peer", *_HUEY),
        work=_work(
            *(2, "huey_consumer", "benchmarks.apps.huey_peer.huey", "-w", "1", "-n", "-q"),
            packages=_HUEY,
        ),
        ended=lambda first, _, of: first.hlen("huey.results.bench"),
    ),
    "bullmq": Peer(
        title="BullMQ, 2 processes",
        fill=lambda _, values: ["node", _BULLMQ_APP, "fill", str(len(values))],
        work=lambda: [["node", _BULLMQ_APP, "work"]] * 2,
        ended=lambda first, _, of: first.zcard("bull:bench:completed"),
        environment=lambda: {"NODE_PATH": str(node_with(*_BULLMQ))},
    ),
    "dramatiq": Peer(
        title="Dramatiq, 2 processes",
        fill=_fill_python("dramatiq_peer", *_DRAMATIQ),
        work=_work(
            *(1, "dramatiq", "benchmarks.apps.dramatiq_peer", "-p", "2"), packages=_DRAMATIQ
        ),
        ended=lambda _, second, of: second.dbsize(),
    ),
    "taskiq": Peer(
        title="taskiq, 2 processes",
        fill=_fill_python("taskiq_peer", *_TASKIQ),
        work=_work(
            *(1, "taskiq", "worker", "benchmarks.apps.taskiq_peer:broker"),
            *("--workers", "2", "--log-level", "ERROR"),
            packages=_TASKIQ,
        ),
        ended=lambda _, second, of: second.dbsize(),
    ),
    "rq": Peer(
        title="RQ, 2 simple workers",
        fill=_fill_python("rq_peer", *_RQ),
        work=lambda: [[str(python_with(*_RQ) / "python"), "-c", _RQ_WORKER]] * 2,
        ended=lambda first, _, of: first.zcard("rq:finished:bench"),
    ),
    "arq": Peer(
        title="arq, 2 processes",
        fill=_fill_python("arq_peer", *ARQ),
        work=_work(2, "arq", "benchmarks.apps.arq_peer.WorkerSettings", packages=ARQ),
        ended=lambda first, _, of: of - first.zcard("arq:queue"),
    ),
}

_RQ_WORKER = (
    "import os; from redis import Redis; from rq import SimpleWorker;"
    "connection = Redis.from_url(os.environ['BENCH_BROKER'] + '/0');"
    "SimpleWorker(['bench'], connection=connection).work(logging_level='ERROR')"
)
