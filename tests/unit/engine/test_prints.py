from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from celery import Celery
from celery.utils.log import get_logger

from celeriac.engine.prints import Lines, end_lines, install
from tests.engines import open_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    with open_app(tmp_path) as opened:
        yield opened


@pytest.fixture
def stdout(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    with caplog.at_level(logging.WARNING):
        yield Lines(get_logger("celery.redirected"), logging.WARNING)


def run(app: Celery, say: Callable[[], None], *, task_id: str = "one") -> None:
    """Run a task that says something."""
    app.tasks.pop("talk", None)

    @app.task(name="talk")
    def talk() -> None:
        say()

    assert app.tasks["talk"].apply(task_id=task_id).state == "SUCCESS"


def test_what_a_task_prints_is_logged_with_its_name_and_id(
    app: Celery, stdout: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    print("nobody's", file=stdout)
    run(app, lambda: print("100% done", file=stdout))

    assert caplog.messages == ["nobody's", "talk[one]: 100% done"]


def test_a_print_of_several_words_is_one_line_and_each_of_its_lines_is_one(
    app: Celery, stdout: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    run(app, lambda: print("I greet", "Ada\n", 3, file=stdout))

    assert caplog.messages == ["talk[one]: I greet Ada", "talk[one]:  3"]


def test_what_was_begun_is_logged_when_it_is_flushed_or_its_task_ends(
    app: Celery, stdout: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    run(app, lambda: print("half", end="", file=stdout, flush=True))
    run(app, lambda: print("a third", end="", file=stdout), task_id="two")
    assert caplog.messages == ["talk[one]: half"]

    end_lines("two")

    assert caplog.messages == ["talk[one]: half", "talk[two]: a third"]


def test_tasks_that_print_by_turns_do_not_share_a_line(
    app: Celery, stdout: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    def say() -> None:
        print("outer begins,", end=" ", file=stdout)
        app.tasks["inner"].apply(task_id="two")
        print("outer ends", file=stdout)

    @app.task(name="inner")
    def inner() -> None:
        print("inner", file=stdout)

    run(app, say)

    assert caplog.messages == ["inner[two]: inner", "talk[one]: outer begins, outer ends"]


def test_a_line_without_an_end_is_not_kept_for_ever(
    stdout: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        stdout.write("x" * 3000)

    assert [len(each) for each in caplog.messages] == [9000]
    stdout.flush()


def test_a_task_ends_while_others_print(
    stdout: Lines, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lines, "log", lambda *_: None)
    is_over = threading.Event()

    def talk() -> None:
        while not is_over.is_set():
            print("one", "two", file=stdout)

    threads = [threading.Thread(target=talk) for _ in range(4)]
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    try:
        # Where it raises, it does so within a few milliseconds.
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            end_lines("one")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_who_has_a_way_of_logging_keeps_it(app: Celery) -> None:
    assert app.log_cls == "celeriac.engine.prints:PrintLogging"

    own = Celery("own")
    own.log_cls = "somewhere:Logging"
    install(own)

    assert own.log_cls == "somewhere:Logging"
