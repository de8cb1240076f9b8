"""Submitting over HTTP: one server process, no worker, 64 connections."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import jwt

from benchmarks.apps.fastapi_parts import SECRET
from benchmarks.drains import OurWorker
from benchmarks.environments import python_with
from benchmarks.load import Answers, load, post
from benchmarks.peers import ARQ
from benchmarks.stand import Stand, new_process
from tests.servers.ports import answers as port_answers
from tests.servers.ports import free_port
from tests.servers.processes import Process
from tests.servers.services import add_user

_CONNECTIONS = 64
_WARM_UP_SECONDS = 1.0
_BODY = b'{"data":"example data"}'
# Nobody serves it: what is submitted stays where it is.
_QUEUE = "unserved"
_UVICORN = ("--no-access-log", "--log-level", "error")


def _never() -> bool:
    return False


class Submits:
    """Single submits: a 202 means that the task is queued; with ours, that it is committed."""

    def __init__(self, stand: Stand, *, seconds: float) -> None:
        self._stand = stand
        self._seconds = seconds

    def __call__(self, contender: str) -> dict[str, float]:
        """Load one contender's server."""
        self._stand.broker.client().flushall()
        if contender.startswith("ours"):
            with OurService(self._stand, contender) as service:
                request = service.post(f"/tasks/process?queue={_QUEUE}", _BODY)
                return _figures(_loaded(service.port, request, self._seconds))
        return self._peer(contender)

    def _peer(self, contender: str) -> dict[str, float]:
        folder, port = self._stand.new_folder(), free_port()
        python = str(python_with(*ARQ) / "python") if contender == "fastapi-arq" else sys.executable
        app = f"benchmarks.apps.{contender.replace('-', '_')}:app"
        command = [python, "-m", "uvicorn", app, "--port", str(port), *_UVICORN]
        environment = {"BENCH_BROKER": f"redis://127.0.0.1:{self._stand.broker.port}"}
        server = new_process(command, folder=folder, name=contender, environment=environment)
        token = jwt.encode({"sub": "ada", "exp": time.time() + 900}, SECRET, algorithm="HS256")
        with server:
            server.wait_until(lambda: port_answers(port), "it listens")
            return _figures(
                _loaded(port, post("/tasks/process", _BODY, token=token), self._seconds)
            )


class Batches:
    """Many tasks per request, over a few connections; each 202 is committed."""

    def __init__(self, stand: Stand, *, seconds: float) -> None:
        self._stand = stand
        self._seconds = seconds

    def __call__(self, contender: str) -> dict[str, float]:
        """Load our server."""
        self._stand.broker.client().flushall()
        options = {"queue": _QUEUE}
        each = {"name": "process", "arguments": {"data": "example data"}, "options": options}
        size = 500
        with OurService(self._stand, contender) as service:
            body = json.dumps({"tasks": [each] * size}).encode()
            answers = load(
                service.port,
                service.post("/tasks:batch", body),
                connections=4,
                seconds=self._seconds,
            )
        _refuse_refusals(answers)
        return {"tasks_per_second": answers.per_second * size}


class Busy:
    """A trickle of submits: beside two workers that drain the same ledger, or alone."""

    def __init__(self, stand: Stand, *, seconds: float, tasks: int) -> None:
        self._stand = stand
        self._seconds = seconds
        self._tasks = tasks

    def __call__(self, contender: str) -> dict[str, float]:
        """Measure one of the two, named ours-LEDGER-busy or ours-LEDGER-idle."""
        self._stand.broker.client().flushall()
        ledger, _, mood = contender.rpartition("-")
        with ExitStack() as stack:
            service = OurService(self._stand, ledger)
            if mood == "busy":
                service.ours.fill("noop", [1] * self._tasks)
            stack.enter_context(service)
            self._trickle(service, _WARM_UP_SECONDS)
            is_over = self._work(service, stack) if mood == "busy" else _never
            return _figures(self._trickle(service, self._seconds, is_over))

    def _trickle(
        self, service: OurService, seconds: float, is_over: Callable[[], bool] = _never
    ) -> Answers:
        return load(
            service.port,
            service.post(f"/tasks/process?queue={_QUEUE}", _BODY),
            connections=4,
            seconds=seconds,
            pause_seconds=0.01,
            is_over=is_over,
        )

    def _work(self, service: OurService, stack: ExitStack) -> Callable[[], bool]:
        """Start to drain; return what tells the end of it."""
        ours = service.ours
        counting = stack.enter_context(ours.counting())
        for name in ("first", "second"):
            stack.enter_context(ours.worker(concurrency=1, name=name))
        # Until both do: what a worker's start costs the processor is another row's business.
        while counting.count_workers() < 2 or not counting.count_ended():
            time.sleep(0.02)
        return lambda: counting.count_ended() >= self._tasks


class OurService:
    """`uvicorn` with our service on a new ledger, and somebody who may submit."""

    def __init__(self, stand: Stand, contender: str) -> None:
        self.ours = OurWorker(stand, contender)
        self.port = free_port()
        command = [
            *(sys.executable, "-m", "uvicorn", "benchmarks.apps.ours_web:app"),
            *("--port", str(self.port), *_UVICORN),
        ]
        self._process: Process = new_process(
            command,
            folder=self.ours.folder,
            name="service",
            environment=self.ours.environment,
        )
        self._token = ""

    def __enter__(self) -> OurService:
        password = secrets.token_urlsafe()
        add_user(
            *("ada", password),
            folder=self.ours.folder,
            environment=self.ours.environment,
            role="submitter",
        )
        self._process.start()
        self._process.wait_until(self._is_ready, "it is ready", seconds=30)
        answer = httpx.post(
            f"{self.url}/token", data={"username": "ada", "password": password}, timeout=30
        )
        self._token = answer.raise_for_status().json()["access_token"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header of somebody who may submit."""
        return {"Authorization": f"Bearer {self._token}"}

    def post(self, path: str, body: bytes) -> bytes:
        """Return a POST of somebody who may submit."""
        return post(path, body, token=self._token)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.HTTPError:
            return False


def _loaded(port: int, request: bytes, seconds: float) -> Answers:
    load(port, request, connections=_CONNECTIONS, seconds=min(seconds, _WARM_UP_SECONDS))
    return load(port, request, connections=_CONNECTIONS, seconds=seconds)


def _figures(answers: Answers) -> dict[str, float]:
    _refuse_refusals(answers)
    return {
        "requests_per_second": answers.per_second,
        "p50_ms": answers.percentile(50),
        "p99_ms": answers.percentile(99),
    }


def _refuse_refusals(answers: Answers) -> None:
    if answers.refused:
        raise AssertionError(f"{answers.refused} requests were refused")
