"""How long one waits on an idle system, and how long a thousand sleepers take together."""

from __future__ import annotations

import json
import random
import sys
import time
from http.client import HTTPConnection

from benchmarks.drains import OurWorker
from benchmarks.load import percentile
from benchmarks.peers import PEERS
from benchmarks.stand import Stand, new_process, run_to_end
from benchmarks.submits import OurService
from tests.servers.processes import Process

# As long as it takes a new ledger's log to be as long as it gets: to lengthen a file costs a disk
# more than to write over it, and a system that is idle has run before.
_WARM_UP = 1000

_ASKING = """
import importlib, json, random, sys, time
task = importlib.import_module(sys.argv[1]).noop
took = []
warm_up = int(sys.argv[4])
for number in range(int(sys.argv[2]) + warm_up):
    if number >= warm_up:
        time.sleep(random.uniform(0.005, 0.05))
    began = time.perf_counter()
    task.delay(number).get(timeout=60)
    took.append((time.perf_counter() - began) * 1000)
json.dump(took[warm_up:], open(sys.argv[3], "w"))
"""


class Asks:
    """`.delay().get()` again and again, with pauses, beside one idle worker."""

    def __init__(self, stand: Stand, *, count: int) -> None:
        self._stand = stand
        self._count = count

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure one contender."""
        self._stand.broker.client().flushall()
        if contender == "stock":
            folder = self._stand.new_folder()
            environment = {"BENCH_BROKER": f"redis://127.0.0.1:{self._stand.broker.port}"}
            (command,) = PEERS["stock"].work()
            worker = new_process(command, folder=folder, name="worker", environment=environment)
            app = "benchmarks.apps.stock"
        else:
            ours = OurWorker(self._stand, contender)
            folder, environment, worker = ours.folder, ours.environment, ours.worker()
            app = "benchmarks.apps.ours"
        took = folder / "took.json"
        asking = [sys.executable, "-c", _ASKING, app, str(self._count), str(took)]
        asking.append(str(_WARM_UP))
        with worker:
            run_to_end(new_process(asking, folder=folder, name="asking", environment=environment))
        return _percentiles(json.loads(took.read_text()))


class Waits:
    """`POST` with `Prefer: wait` again and again, with pauses, beside one idle worker.

    Nobody else has such a request, so that theirs is `.delay().get()`.
    """

    def __init__(self, stand: Stand, *, count: int) -> None:
        self._stand = stand
        self._count = count
        self._asks = Asks(stand, count=count)

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure one contender."""
        if contender == "stock":
            return self._asks(contender)
        self._stand.broker.client().flushall()
        took = []
        with OurService(self._stand, contender) as service, service.ours.worker():
            # Of the standard library, which costs less than a client that knows more.
            connection = HTTPConnection("127.0.0.1", service.port, timeout=90)
            headers = {
                **service.authorization,
                "Prefer": "wait=60",
                "Content-Type": "application/json",
            }
            for number in range(self._count + _WARM_UP):
                if number >= _WARM_UP:
                    time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - no secret
                body = json.dumps({"data": str(number)})
                began = time.perf_counter()
                connection.request("POST", "/tasks/process", body, headers)
                answer = connection.getresponse().read()
                took.append((time.perf_counter() - began) * 1000)
                if json.loads(answer)["status"] != "completed":
                    raise AssertionError(f"answered without the result: {answer!r}")
            connection.close()
        return _percentiles(took[_WARM_UP:])


class Naps:
    """`async def` tasks that sleep, all at once in one child."""

    def __init__(self, stand: Stand, *, count: int, seconds: float) -> None:
        self._stand = stand
        self._count = count
        self._seconds = seconds

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure one contender of ours, from the first task's start to the last one's end."""
        self._stand.broker.client().flushall()
        ours = OurWorker(self._stand, contender)
        ours.fill("nap", [self._seconds] * self._count)
        worker: Process = ours.worker("--async-slots", str(self._count), concurrency=1)
        with worker, ours.counting() as counting:
            worker.wait_until(
                lambda: counting.count_ended() >= self._count, "all have slept", seconds=300
            )
            return {"seconds": counting.seconds_from_start_to_end()}


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    return {"p50_ms": percentile(milliseconds, 50), "p99_ms": percentile(milliseconds, 99)}
