from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, Task
from celery.app.trace import build_tracer
from celery.exceptions import SoftTimeLimitExceeded

from celeriac.core.outcome import NewChord
from celeriac.core.state import TaskState
from celeriac.core.task import NewTask, TaskId
from celeriac.engine.pool import wire
from celeriac.engine.pool.answers import Answers
from celeriac.engine.pool.channel import Channel, PipeRoad
from celeriac.engine.pool.child import SoftLimit
from celeriac.engine.road import LedgerRoad
from celeriac.errors import (
    CeleriacError,
    CommitInDoubtError,
    LedgerUnavailableError,
    TaskIdTakenError,
)
from celeriac.ledger.open import Ledger
from tests.engines import make_arguments, make_claimed
from tests.fakes import AwayLedger, open_test_ledger


class Parent:
    """The parent's end of a child's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unpacker = wire.Unpacker()
        self._messages: list[Any] = []

    def send(self, *messages: Any) -> None:
        """Send messages in one write."""
        self._socket.sendall(b"".join(wire.pack(each) for each in messages))

    def hear(self) -> Any:
        """Return the next message."""
        while not self._messages:
            data = self._socket.recv(65536)
            assert data, "the child has hung up"
            self._messages += self._unpacker.feed(data)
        return self._messages.pop(0)

    def answer(self, answers: Answers) -> None:
        """Answer one question as a pool does."""
        _, number, method, arguments = self.hear()
        self.send(answers.answer(number, method, arguments))


class Child:
    """A channel whose thread does not end the test's process when its parent hangs up."""

    def __init__(self, sock: socket.socket) -> None:
        self.channel = Channel(sock)
        self.channel.start()


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Parent, Channel]]:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    channel = Child(theirs).channel
    yield Parent(ours), channel
    ours.close()
    channel._reader.join(5.0)
    theirs.close()
    # A child whose parent is gone has nothing left to do.
    assert exits == [0]


@pytest.fixture
def asking() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(2) as threads:
        yield threads.submit


def _run(task_id: str) -> list[Any]:
    return ["run", [[make_claimed("add", task_id=task_id)[:], None]]]


def test_jobs_come_in_the_order_of_sending(ends: tuple[Parent, Channel]) -> None:
    parent, channel = ends
    parent.send(_run("a"), _run("b"))

    jobs = [channel.next_job(), channel.next_job()]

    assert [job[0][0] for job in jobs if job] == ["a", "b"]


def test_there_are_no_more_jobs_after_the_word_to_stop(ends: tuple[Parent, Channel]) -> None:
    parent, channel = ends
    parent.send(_run("a"), ["stop"])

    channel.next_job()

    assert channel.next_job() is None


def test_what_has_not_begun_goes_back_and_cannot_begin_any_more(
    ends: tuple[Parent, Channel],
) -> None:
    parent, channel = ends
    parent.send(_run("a"), _run("b"), _run("c"))
    begun = channel.next_job()

    parent.send(["recall"])

    assert begun is not None
    assert parent.hear() == ["recalled", ["b", "c"]]
    parent.send(["stop"])
    assert channel.next_job() is None


def test_a_recall_without_anything_to_give_back_is_answered(
    ends: tuple[Parent, Channel],
) -> None:
    parent, _ = ends

    parent.send(["recall"])

    assert parent.hear() == ["recalled", []]


def test_a_recall_never_takes_back_the_word_to_stop(ends: tuple[Parent, Channel]) -> None:
    parent, channel = ends
    parent.send(_run("a"), _run("b"), ["stop"])
    channel.next_job()

    parent.send(["recall"])

    assert parent.hear() == ["recalled", ["b"]]
    assert channel.next_job() is None


def test_a_question_is_answered(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    asked = asking(channel.ask, "double", 21)

    kind, number, method, arguments = parent.hear()
    parent.send(["reply", number, "", arguments[0] * 2])

    assert (kind, method) == ("call", "double")
    assert asked.result(5.0) == 42


def test_an_answer_that_comes_late_is_not_taken_for_the_next_ones(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    # As when a soft limit cut off the wait for the first answer.
    channel._asked = 1
    parent.send(["reply", 1, "", "too late"])

    asked = asking(channel.ask, "find")
    _, number, _, _ = parent.hear()
    parent.send(["reply", number, "", "in time"])

    assert number == 2
    assert asked.result(5.0) == "in time"


def test_two_threads_of_a_task_get_each_its_own_answer(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    asked = {each: asking(channel.ask, "echo", each) for each in ("a", "b")}

    for _ in asked:
        _, number, _, arguments = parent.hear()
        parent.send(["reply", number, "", arguments[0]])

    assert {each: future.result(5.0) for each, future in asked.items()} == {"a": "a", "b": "b"}


def test_jobs_that_come_while_a_task_asks_are_kept(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    asked = asking(channel.ask, "find")

    _, number, _, _ = parent.hear()
    parent.send(_run("next"), ["reply", number, "", None])

    assert asked.result(5.0) is None
    job = channel.next_job()
    assert job is not None
    assert job[0][0] == "next"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("task_id_taken", TaskIdTakenError),
        ("ledger_unavailable", LedgerUnavailableError),
        ("commit_in_doubt", CommitInDoubtError),
        # Of a parent that is newer than this child.
        ("of_tomorrow", CeleriacError),
    ],
)
def test_what_the_parents_ledger_raised_is_raised_in_the_task(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    code: str,
    kind: type[CeleriacError],
) -> None:
    parent, channel = ends
    asked = asking(channel.ask, "submit")

    _, number, _, _ = parent.hear()
    parent.send(["reply", number, code, "the sentence"])

    error = asked.exception(5.0)
    assert type(error) is kind
    assert str(error) == "the sentence"


def test_a_child_ends_with_a_parent_that_has_not_heard_all_of_it(
    ends: tuple[Parent, Channel],
) -> None:
    _, channel = ends

    channel.tell("progress", "a", "lease", "{}")

    # The fixture hangs up, and expects the child's end.
    assert channel._reader.is_alive()


# ---- the road over the pipe, with a parent that has a ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_test_ledger(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def answers(ledger: Ledger) -> Answers:
    return Answers(LedgerRoad(lambda: ledger, lambda _: None, lambda _: None))


def _row(task_id: str, **facts: Any) -> NewTask:
    return NewTask(id=TaskId(task_id), name="add", arguments=make_arguments(1), **facts)


def test_a_child_submits_over_its_parent(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    answers: Answers,
    ledger: Ledger,
) -> None:
    parent, channel = ends
    chord = NewChord(id="chord", size=1, body="{}", queue="cpu")
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    asked = asking(PipeRoad(channel).submit, [_row("a", not_before=moment)], (chord,))

    parent.answer(answers)

    asked.result(5.0)
    assert ledger.tasks.get("a").not_before == moment
    assert ledger.tasks.find_chord("chord") == chord


def test_a_child_finds_tasks_as_they_are(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    answers: Answers,
    ledger: Ledger,
) -> None:
    parent, channel = ends
    ledger.tasks.insert([_row("a", tags=("x", "y"))])
    asked = asking(PipeRoad(channel).find, [TaskId("a"), TaskId("nobody")])

    parent.answer(answers)

    assert asked.result(5.0) == {"a": ledger.tasks.get("a")}


def test_a_child_finds_a_chord_or_learns_that_there_is_none(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    answers: Answers,
    ledger: Ledger,
) -> None:
    parent, channel = ends
    chord = NewChord(id="chord", size=1, body="{}", queue="cpu")
    ledger.tasks.insert([], chords=[chord])
    road = PipeRoad(channel)

    found, missing = asking(road.find_chord, "chord"), asking(road.find_chord, "another")
    parent.answer(answers)
    parent.answer(answers)

    assert {found.result(5.0), missing.result(5.0)} == {chord, None}


def test_a_child_cancels_over_its_parent(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    answers: Answers,
    ledger: Ledger,
) -> None:
    parent, channel = ends
    ledger.tasks.insert([_row("a")])
    asked = asking(PipeRoad(channel).cancel, [TaskId("a")])

    parent.answer(answers)

    asked.result(5.0)
    assert ledger.tasks.get("a").state is TaskState.CANCELLED


def test_a_child_tells_of_progress_without_waiting(ends: tuple[Parent, Channel]) -> None:
    parent, channel = ends

    PipeRoad(channel).report(TaskId("a"), "lease", "{}")

    assert parent.hear() == ["progress", "a", "lease", "{}"]


def test_a_refusal_reaches_the_task_that_asked(
    ends: tuple[Parent, Channel],
    asking: Callable[..., Future[Any]],
    answers: Answers,
    ledger: Ledger,
) -> None:
    parent, channel = ends
    ledger.tasks.insert([_row("a")])
    another = NewTask(id=TaskId("a"), name="another", arguments=make_arguments())
    asked = asking(PipeRoad(channel).submit, [another])

    parent.answer(answers)

    with pytest.raises(TaskIdTakenError, match="another task has the id a"):
        asked.result(5.0)


def test_a_child_learns_that_the_ledger_is_away_and_not_where_it_is(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    away: Any = AwayLedger()
    asked = asking(PipeRoad(channel).find, [TaskId("a")])

    parent.answer(Answers(LedgerRoad(lambda: away, lambda _: None, lambda _: None)))

    error = asked.exception(5.0)
    assert isinstance(error, LedgerUnavailableError)
    assert str(error) == "the ledger is unavailable"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("__init__", []), ("shell", []), ("find", [5]), ("find", []), ("submit", [[{}], []])],
)
def test_a_question_of_the_wrong_kind_fails_who_asked_and_nobody_else(
    answers: Answers, method: str, arguments: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    _, number, code, sentence = answers.answer(1, method, arguments)

    assert (number, code) == (1, "unanswered")
    assert sentence.startswith("it was not answered: ")
    assert "a task's question was not answered" in caplog.text


def test_a_child_raises_that_it_was_not_answered(
    ends: tuple[Parent, Channel], asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    nothing: Any = object()
    asked = asking(PipeRoad(channel).find, [TaskId("a")])

    parent.answer(Answers(nothing))

    error = asked.exception(5.0)
    assert isinstance(error, CeleriacError)
    assert str(error) == "it was not answered: AttributeError"


# ---- soft limits


@pytest.fixture
def soft_limit() -> Iterator[SoftLimit]:
    before = signal.getsignal(signal.SIGUSR1)
    limit = SoftLimit()
    yield limit
    limit.disarm()
    # One that was put off comes in a moment, and would end this process.
    time.sleep(0.05)
    signal.signal(signal.SIGUSR1, before)


def _tell() -> int:
    os.kill(os.getpid(), signal.SIGUSR1)
    # The interpreter calls a handler between two of its steps.
    time.sleep(0)
    return 1


def _trace(body: Callable[[], object], *, after: Callable[[], object] = lambda: None) -> Any:
    """Have Celery's tracer run a task; return how that ended."""
    app = Celery(set_as_current=False)

    class Traced(Task):
        name = "traced"

        def run(self) -> object:
            return body()

        def on_success(self, *_: Any) -> None:
            after()

    task = app.register_task(Traced())
    return build_tracer("traced", task, app=app)("task-1", (), {}, {"ignore_result": True})


def test_a_soft_limit_is_raised_in_the_task_that_is_over_its_time(soft_limit: SoftLimit) -> None:
    soft_limit.arm(0.01)
    time.sleep(0.01)

    ended = _trace(_tell)

    assert isinstance(ended.info.retval, SoftTimeLimitExceeded)
    assert ended.info.retval.args == (0.01,)


def test_a_soft_limit_is_raised_once(soft_limit: SoftLimit) -> None:
    soft_limit.arm(0.0)
    _trace(_tell)

    assert _trace(_tell).info is None


def test_a_soft_limit_leaves_alone_what_writes_down_a_tasks_end(soft_limit: SoftLimit) -> None:
    soft_limit.arm(0.0)
    told: list[int] = []

    ended = _trace(lambda: 1, after=lambda: told.append(_tell()))
    # The tracer has returned, and nobody knows yet that the task has ended.
    told.append(_tell())

    assert (ended.retval, ended.info) == (1, None)
    assert len(told) == 2


def test_a_soft_limit_waits_until_a_frame_is_written(
    ends: tuple[Parent, Channel], soft_limit: SoftLimit, asking: Callable[..., Future[Any]]
) -> None:
    parent, channel = ends
    big = "x" * 3_000_000

    def hear_when_told() -> Any:
        # With something to read the main thread sits in the write: no socket takes all of this.
        parent._socket.recv(1, socket.MSG_PEEK)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
        return [parent.hear(), parent.hear()]

    heard = asking(hear_when_told)

    def body() -> None:
        soft_limit.arm(0.0)
        channel.tell("progress", "a", "lease", big)
        time.sleep(5)

    ended = _trace(body)
    channel.tell("done", "a")

    assert isinstance(ended.info.retval, SoftTimeLimitExceeded)
    assert heard.result(5.0) == [["progress", "a", "lease", big], ["done", "a"]]


@pytest.mark.parametrize(
    "prepare",
    [
        # Nothing runs.
        lambda limit: None,
        # The task that it was meant for has just ended.
        lambda limit: (limit.arm(0.0), limit.disarm()),
        # The next one has time left.
        lambda limit: limit.arm(60.0),
        # The next one has no limit.
        lambda limit: (limit.arm(0.0), limit.arm(None)),
    ],
)
def test_a_soft_limit_that_comes_late_hits_nobody(
    soft_limit: SoftLimit, prepare: Callable[[SoftLimit], Any]
) -> None:
    prepare(soft_limit)

    _tell()


def test_the_words_of_a_task_do_not_mix_with_those_of_its_threads(
    ends: tuple[Parent, Channel],
) -> None:
    parent, channel = ends
    big = "x" * 100_000

    tellers = [
        threading.Thread(target=channel.tell, args=("progress", str(n), big)) for n in range(4)
    ]
    for each in tellers:
        each.start()
    heard = [parent.hear() for _ in tellers]

    for each in tellers:
        each.join()
    assert sorted(each[1] for each in heard) == ["0", "1", "2", "3"]
    assert {each[2] for each in heard} == {big}
    assert json.dumps(heard)
