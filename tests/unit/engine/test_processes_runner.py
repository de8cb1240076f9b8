from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery.worker import state as worker_state

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import ClaimedTask, TaskId
from celeriac.engine.executor import Report
from celeriac.engine.pool import forkserver, wire
from celeriac.engine.pool.answers import Answers
from celeriac.engine.pool.job import Job
from celeriac.engine.pool.pacer import Pacer
from celeriac.engine.pool.processes import ProcessRunner
from celeriac.engine.road import LedgerRoad
from tests.engines import make_claimed
from tests.fakes import make_new_task, open_test_ledger
from tests.servers.processes import descendants_of, is_alive, wait_until

pytestmark = pytest.mark.slow

BIG = "x" * 3_000_000


class Recorder:
    """What a runner has told, as the pool's thread would hear it."""

    def __init__(self) -> None:
        self.began_in: dict[str, tuple[int, int]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.reports: dict[str, Report] = {}
        self.progress: list[tuple[str, str, str]] = []
        self.back: list[str] = []
        self.questions = 0

    def began(self, job: Job, pid: int, slot: int) -> None:
        job.began = time.monotonic()
        self.began_in[job.id] = (pid, slot)

    def ended(self, job: Job, outcome: Outcome, report: Report) -> None:
        assert job.id == outcome.task_id
        assert job.id not in self.outcomes
        self.outcomes[job.id] = outcome
        self.reports[job.id] = report

    def progressed(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        self.progress.append((task_id, lease_token, progress))

    def returned(self, jobs: Iterable[Job]) -> None:
        self.back += [job.id for job in jobs]

    def asked(self) -> None:
        self.questions += 1


class TinyChild:
    """A child that does what a task's name says, and speaks the wire."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unpacker = wire.Unpacker()
        self._messages: list[Any] = []

    def serve(self) -> None:
        self.tell("ready")
        while (message := self.next())[0] != "stop":
            if message[0] == "recall":
                waiting = [each[1][0] for each in self._messages if each[0] == "run"]
                self._messages = [each for each in self._messages if each[0] != "run"]
                self.tell("recalled", waiting)
            else:
                self.run(ClaimedTask._make(message[1]), message[2])

    def run(self, claimed: Any, soft_seconds: float | None) -> None:
        if claimed.name == "die":
            os._exit(3)
        if claimed.name == "hang":
            # Reads on, as a child's own thread does, and never ends its task.
            self.tell("progress", claimed.id, "", "hangs")
            self.serve_recalls()
        if claimed.name == "soft":
            signal.signal(signal.SIGUSR1, lambda *_: self.tell("progress", claimed.id, "", "soft"))
            self.tell("progress", claimed.id, "", "waiting")
            signal.pause()
        if claimed.name == "garble":
            whole = wire.pack(["progress", claimed.id, "", "{}"])
            self._socket.sendall(whole[: len(whole) // 2] + whole)
        if claimed.name == "nonsense":
            self.tell("done", claimed.id, {"ending": "blue"}, {})
        if claimed.name == "shout":
            self.tell("progress", claimed.id, claimed.lease_token, BIG)
        if claimed.name == "ask":
            self.tell("call", 7, "find", [["task-1", "nobody"]])
            _, number, code, value = self.next()
            self.tell(
                "progress", claimed.id, "", f"{number} {code}{[each['id'] for each in value]}"
            )
        outcome = Outcome(
            task_id=claimed.id,
            lease_token=claimed.lease_token,
            ending=Ending.COMPLETED,
            finished_at=datetime(2026, 11, 22, tzinfo=UTC),
            result=str(len(claimed.headers)),
        )
        self.tell("done", claimed.id, outcome, Report(state="SUCCESS", runtime_seconds=0.0001))
        if claimed.name == "last words":
            os._exit(0)

    def serve_recalls(self) -> None:
        while True:
            message = self.next()
            if message[0] == "recall":
                waiting = [each[1][0] for each in self._messages if each[0] == "run"]
                self._messages.clear()
                self.tell("recalled", waiting)
            else:
                # Not now: it has not begun.
                self._messages.insert(0, message)
                self._messages += self._read()

    def tell(self, *message: Any) -> None:
        self._socket.sendall(wire.pack(message))

    def next(self) -> Any:
        while not self._messages:
            self._messages += self._read()
        recalls = [each for each in self._messages if each[0] == "recall"]
        message = recalls[0] if recalls else self._messages[0]
        self._messages.remove(message)
        return message

    def _read(self) -> list[Any]:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            os._exit(0)
        return [single for each in self._unpacker.feed(data) for single in _singly(each)]


def _singly(message: Any) -> Any:
    """Return a message that hands over many jobs as one for each of them."""
    return [["run", *job] for job in message[1]] if message[0] == "run" else [message]


def _run_child(sock: socket.socket, number: int) -> None:
    TinyChild(sock).serve()


class Rig:
    """A runner with real children, driven as the pool's thread drives it."""

    def __init__(self, slots: int, answers: Answers | None = None) -> None:
        self.events = Recorder()
        self.server = forkserver.start(_run_child)
        self.selector = selectors.DefaultSelector()
        unused: Any = None
        self.runner = ProcessRunner(self.server, slots, answers or Answers(unused))
        self.runner.start(self.events, self.selector)

    def turn(self, seconds: float = 0.02) -> None:
        for key, _ in self.selector.select(seconds):
            key.data()
        self.runner.tick(time.monotonic())

    def until(self, predicate: Callable[[], object], what: str) -> None:
        """Let the runner go on until something is so."""
        deadline = time.monotonic() + 10
        while not predicate():
            assert time.monotonic() < deadline, what
            self.turn()

    def ready(self) -> None:
        self.until(lambda: self.runner.room() >= self.runner.slots, "every child is ready")

    def hand(self, name: str, task_id: str, **facts: Any) -> Job:
        limits = {key: facts.pop(key, None) for key in ("soft_seconds", "hard_seconds")}
        job = Job(make_claimed(name, task_id=task_id, **facts), object(), **limits)
        self.runner.hand([job])
        return job

    def outcome(self, task_id: str) -> Outcome:
        self.until(lambda: task_id in self.events.outcomes, f"{task_id} has ended")
        return self.events.outcomes[task_id]

    def pids(self) -> list[int]:
        found: list[int] = self.runner.facts()["processes"]
        return found

    def hang(self, task_id: str) -> Job:
        """Have a task that never ends truly run."""
        job = self.hand("hang", task_id)
        told = (task_id, "", "hangs")
        self.until(lambda: told in self.events.progress, f"{task_id} has begun")
        return job

    def make_fast(self) -> None:
        """Have the runner learn that tasks here are short: a child gets many at once."""
        self.hand("add", "warm")
        self.outcome("warm")

    def begin_anew(self) -> None:
        """Forget what was, and have every child free again."""
        before = self.pids()
        self.runner._pacer, self.runner._is_stopping = Pacer(), False
        self.runner.kill()
        self.until(lambda: not {*before} & {*self.pids()}, "the children are new ones")
        self.events = self.runner._events = Recorder()
        self.ready()

    def close(self) -> None:
        if self.server.socket.fileno() != -1:
            self.runner.kill()
            self.runner.stop()
        self.selector.close()


@contextmanager
def _open_rig(slots: int, answers: Answers | None = None) -> Iterator[Rig]:
    rig = Rig(slots, answers)
    rig.ready()
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[Rig]:
    with _open_rig(1) as made:
        yield made


@pytest.fixture
def rig(one_for_all: Rig) -> Iterator[Rig]:
    """A runner of one child that has nothing to do."""
    yield one_for_all
    one_for_all.begin_anew()


@pytest.fixture
def two() -> Iterator[Rig]:
    with _open_rig(2) as made:
        yield made


def test_there_is_no_room_before_a_child_says_that_it_is_ready() -> None:
    rig = Rig(1)

    room = rig.runner.room()

    rig.ready()
    assert room == 0
    rig.runner.stop()
    rig.selector.close()


@pytest.mark.parametrize("name", ["garble", "nonsense"])
def test_a_child_that_makes_no_sense_costs_its_own_task_alone(rig: Rig, name: str) -> None:
    rig.make_fast()
    before = rig.pids()
    rig.hand(name, "bad")
    rig.hand("hang", "behind")

    outcome = rig.outcome("bad")

    assert outcome.ending is Ending.LOST
    assert outcome.is_suspect
    rig.until(lambda: rig.events.back == ["behind"], "the next one comes back")
    rig.until(lambda: {*rig.pids()} - {*before}, "another child takes its place")
    rig.ready()
    rig.hand("add", "after")
    assert rig.outcome("after").ending is Ending.COMPLETED


def test_a_task_runs_in_a_child_and_its_outcome_comes_back(rig: Rig) -> None:
    rig.hand("add", "a", headers='{"x":1}')

    outcome = rig.outcome("a")

    assert outcome.ending is Ending.COMPLETED
    assert outcome.result == "7"
    assert rig.events.reports["a"].state == "SUCCESS"
    assert rig.events.began_in["a"] == (rig.pids()[0], 0)


def test_tasks_go_to_the_child_that_is_free(two: Rig) -> None:
    two.hand("hang", "a")

    two.hand("hang", "b")

    assert {slot for _, slot in two.events.began_in.values()} == {0, 1}
    assert two.runner.room() == 0


def test_short_tasks_are_handed_over_many_at_once_and_begin_one_by_one(rig: Rig) -> None:
    rig.make_fast()
    room = rig.runner.room()

    for each in "abc":
        rig.hand("add", each)

    began_at_once = [each for each in "abc" if each in rig.events.began_in]
    for each in "abc":
        rig.outcome(each)
    assert room > 3
    assert began_at_once == ["a"]
    assert list(rig.events.outcomes) == ["warm", "a", "b", "c"]
    assert set(rig.events.began_in) == {"warm", "a", "b", "c"}


def test_what_waits_behind_a_task_that_turns_out_to_be_long_comes_back(rig: Rig) -> None:
    rig.make_fast()
    rig.hang("long")
    rig.hand("add", "a")
    rig.hand("add", "b")

    rig.until(lambda: rig.events.back, "they come back")

    assert rig.events.back == ["a", "b"]
    assert rig.runner.room() == 0
    assert "long" not in rig.events.outcomes


def test_a_child_that_dies_loses_the_task_it_ran_and_no_other(rig: Rig) -> None:
    rig.make_fast()
    first = rig.pids()
    for name, task_id in (("die", "a"), ("add", "b"), ("add", "c")):
        rig.hand(name, task_id)

    assert rig.outcome("a").ending is Ending.LOST

    assert rig.events.back == ["b", "c"]
    rig.ready()
    assert rig.pids() != first
    rig.hand("add", "again")
    assert rig.outcome("again").ending is Ending.COMPLETED
    assert rig.events.began_in["again"][1] == 0


def test_a_childs_last_words_are_heard(rig: Rig) -> None:
    rig.hand("last words", "a")

    assert rig.outcome("a").ending is Ending.COMPLETED
    rig.ready()


def test_an_idle_child_that_dies_is_followed_by_another(rig: Rig) -> None:
    (pid,) = rig.pids()

    os.kill(pid, signal.SIGKILL)
    rig.until(lambda: rig.pids() not in ([], [pid]), "there is another child")

    rig.ready()
    assert rig.events.outcomes == {}


def test_an_interrupted_task_is_cancelled(rig: Rig) -> None:
    job = rig.hand("hang", "a")
    job.is_interrupted = True

    rig.runner.interrupt("a")

    assert rig.outcome("a").ending is Ending.CANCELLED
    assert rig.events.reports["a"].state == "REVOKED"


def test_only_the_task_that_runs_can_be_interrupted(rig: Rig) -> None:
    rig.make_fast()
    rig.hang("a")
    rig.hand("add", "b")

    rig.runner.interrupt("b")
    rig.runner.interrupt("nobody")
    rig.until(lambda: rig.events.back, "it comes back")

    assert rig.events.outcomes.keys() == {"warm"}


def test_a_task_over_its_hard_limit_is_killed(rig: Rig) -> None:
    rig.hand("hang", "a", hard_seconds=0.05)

    outcome = rig.outcome("a")

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT


def test_a_task_over_its_soft_limit_is_told(rig: Rig) -> None:
    rig.hand("soft", "a", soft_seconds=0.05)

    assert rig.outcome("a").ending is Ending.COMPLETED

    assert [text for _, _, text in rig.events.progress] == ["waiting", "soft"]


def test_the_next_limit_is_named_so_that_nobody_sleeps_over_it(rig: Rig) -> None:
    job = rig.hand("hang", "a", soft_seconds=50.0, hard_seconds=60.0)
    assert job.began is not None

    now = job.began + 1.0

    assert rig.runner.tick(now) == job.began + 50.0
    job.is_soft_told = True
    assert rig.runner.tick(now) == job.began + 60.0


def test_without_limits_there_is_nothing_to_wake_for(rig: Rig) -> None:
    rig.hand("hang", "a")

    assert rig.runner.tick(time.monotonic()) is None


def test_a_child_is_answered_out_of_the_ledger(tmp_path: Path) -> None:
    ledger = open_test_ledger(tmp_path)
    ledger.tasks.insert([make_new_task()])
    with _open_rig(1, Answers(LedgerRoad(lambda: ledger, lambda _: None, lambda _: None))) as rig:
        rig.hand("ask", "a")

        rig.outcome("a")

        assert rig.events.progress == [("a", "", "7 ['task-1']")]
        assert rig.events.questions == 1
    ledger.close()


def test_nobody_waits_for_the_other_while_both_say_much(rig: Rig) -> None:
    # More than both sockets hold, both ways at once.
    rig.hand("shout", "a", headers=BIG)

    assert rig.outcome("a").result == str(len(BIG))
    assert rig.events.progress == [("a", "lease", BIG)]


def test_killing_gives_back_all_that_children_had(two: Rig) -> None:
    pids = two.pids()
    first, second = two.hand("hang", "a"), two.hand("hang", "b")

    given_back = two.runner.kill()
    two.runner.stop()

    assert given_back == [first, second]
    assert two.events.outcomes == {}
    wait_until(lambda: not any(map(is_alive, pids)), "they are gone", pause=0.002)


def test_an_end_that_a_killed_child_told_of_is_not_counted_twice(rig: Rig) -> None:
    (pid,) = rig.pids()
    job = rig.hand("last words", "a")
    wait_until(lambda: not is_alive(pid), "it has said its last", pause=0.002)

    given_back = rig.runner.kill()
    rig.until(lambda: pid not in rig.pids(), "it is buried here, too")

    # Given back before its end was heard: it is one or the other.
    assert given_back == [job]
    assert rig.events.outcomes == {}


@pytest.mark.parametrize("is_due", [False, True])
def test_a_child_that_has_just_died_can_be_told_to_die(rig: Rig, *, is_due: bool) -> None:
    (pid,) = rig.pids()
    job = rig.hand("die", "a", hard_seconds=0.0 if is_due else None)
    # Buried by the fork server, of which nobody has heard here.
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it is buried", pause=0.002)

    rig.runner.tick(time.monotonic())
    rig.runner.interrupt("a")
    rig.runner.kill()

    assert job.is_timed_out is is_due


def test_stopping_ends_children_in_order_and_makes_no_new_ones(two: Rig) -> None:
    pids = two.pids()

    two.runner.stop()

    assert not any(map(is_alive, pids))
    assert two.pids() == []
    assert not is_alive(two.server.pid)


def test_children_that_are_still_being_made_end_in_order_too() -> None:
    rig = Rig(2)
    # Both are forked, of which nobody has heard here.
    wait_until(lambda: len(descendants_of(rig.server.pid)) == 2, "they are forked", pause=0.002)
    began = time.monotonic()

    rig.runner.stop()

    assert time.monotonic() - began < 4.0
    assert rig.pids() == []
    rig.selector.close()


def test_a_stopping_runner_asks_for_what_has_not_begun(rig: Rig) -> None:
    rig.make_fast()
    job = rig.hang("a")
    rig.hand("add", "b")
    assert job.began is not None

    given_back = rig.runner.give_back()
    # Long before the task counts as a long one.
    rig.runner.tick(job.began)
    rig.until(lambda: rig.events.back, "it comes back")

    assert given_back == []
    assert rig.events.back == ["b"]


def test_a_worker_without_its_fork_server_ends() -> None:
    rig = Rig(0)
    try:
        os.kill(rig.server.pid, signal.SIGKILL)

        rig.until(lambda: worker_state.should_terminate, "the worker is told to end")
    finally:
        worker_state.should_terminate = None
        rig.selector.close()
        rig.server.close()


def test_the_runner_tells_what_inspect_stats_shows(two: Rig) -> None:
    facts = two.runner.facts()

    assert facts["max-concurrency"] == 2
    assert len(facts["processes"]) == 2
