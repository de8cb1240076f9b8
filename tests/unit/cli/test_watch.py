from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from celeriac.cli import watch
from celeriac.cli.watch import Watcher, wait_for_end, watch_to_end
from celeriac.client import RemoteTask
from celeriac.errors import ServiceUnreachableError
from tests.fakes import NOON


class Terminal(io.StringIO):
    """A stream before which somebody sits."""

    def isatty(self) -> bool:
        return True


def remote(state: str, **changes: Any) -> RemoteTask:
    body = {
        "task_id": "t1",
        "name": "process",
        "state": state,
        "queue": "default",
        "priority": 5,
        "attempt": 1,
        "created_at": NOON.isoformat(),
        **changes,
    }
    return RemoteTask.from_body(body)


def progress(done: int) -> dict[str, Any]:
    return {"progress": {"done": done, "total": 4, "message": "sieving"}}


STEPS = [
    remote("queued"),
    remote("running", **progress(1)),
    remote("running", **progress(3)),
    remote("completed", finished_at=(NOON + timedelta(seconds=2)).isoformat()),
]


class Steps:
    """A task that goes through some states, as a handle would tell of it."""

    id = "t1"

    def __init__(self, *steps: Any) -> None:
        self._steps = steps

    def wait(self, _: timedelta | None) -> Any:
        """Return the last step; raise what is an error."""
        *_steps, last = self.watch(None, on_away=None)
        return last

    def watch(self, _: timedelta | None, *, on_away: Any) -> Any:
        """Yield each step; raise what is an error, tell what is an outage."""
        for step in self._steps:
            if isinstance(step, ServiceUnreachableError):
                on_away(step)
                continue
            if isinstance(step, BaseException):
                raise step
            yield step


@pytest.fixture(autouse=True)
def terminal_that_can_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_on_a_terminal_one_line_is_written_over() -> None:
    stream = Terminal()
    watcher = Watcher(stream)

    for step in STEPS[:3]:
        watcher.show(step)
    watcher.end("completed after 2.0 s")

    said = stream.getvalue()
    assert said.count("\n") == 1
    assert said.count("\r\033[K") == 4
    assert " 75%  sieving" in said.replace("#", "█")
    assert said.endswith("\r\033[Kcompleted after 2.0 s\n")


def test_in_a_log_each_state_has_one_line() -> None:
    stream = io.StringIO()
    watcher = Watcher(stream)

    for step in STEPS:
        watcher.show(step)
    watcher.end("completed after 2.0 s")

    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["queued", "running", "completed"]
    assert "\033" not in stream.getvalue()


def test_a_task_is_followed_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    task = watch_to_end(Steps(*STEPS))  # type: ignore[arg-type] # all that is used of a handle

    assert task is STEPS[-1]
    assert capsys.readouterr().err.endswith("completed after 2.0 s\n")


def test_a_service_that_is_away_is_told_once_an_outage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = ServiceUnreachableError("http://there", "refused")
    steps = Steps(STEPS[0], away, away, STEPS[1], away, STEPS[-1])

    watch_to_end(steps)  # type: ignore[arg-type]

    assert capsys.readouterr().err.count("no answer from http://there: refused; asking again") == 2


def test_whoever_has_seen_enough_is_told_that_the_task_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        watch_to_end(Steps(STEPS[0], KeyboardInterrupt()))  # type: ignore[arg-type] # as above

    assert "the task goes on: python run.py wait t1" in capsys.readouterr().err


def test_whoever_has_waited_enough_is_told_that_the_task_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        wait_for_end(Steps(KeyboardInterrupt()))  # type: ignore[arg-type] # as above

    assert "the task goes on: python run.py wait t1" in capsys.readouterr().err


def test_a_window_that_nobody_knows_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise OSError

    monkeypatch.setattr("os.get_terminal_size", unknown)

    assert watch._columns() == 80
