"""That tasks changed, as one process says it and another one hears it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.core.change import Change
from celeriac.core.outcome import Ended
from celeriac.core.task import TaskId
from celeriac.engine.changes import CHANNEL, MOST_NAMED, Changes, Listener, NoChanges
from tests.engines import open_app
from tests.servers.processes import wait_until
from tests.servers.valkey import ValkeyServer

ONE, TWO = TaskId("one"), TaskId("two")


class Ear:
    """What was heard."""

    def __init__(self) -> None:
        self.heard: list[Change] = []
        self.lost = 0
        self._listener: Listener | None = None

    def listen(self, changes: Changes) -> None:
        """Listen, and return when nothing is missed any more."""
        self._listener = changes.listen(self.heard.append, self._lose)
        wait_until(lambda: self.heard, "it listens")

    def stop(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.stop()

    @property
    def ids(self) -> list[TaskId]:
        """The tasks that were named, in order."""
        return [task_id for change in self.heard for task_id in change.task_ids]

    def _lose(self) -> None:
        self.lost += 1


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("changes")) as server:
        yield server


@pytest.fixture
def changes(tmp_path: Path, broker: ValkeyServer) -> Iterator[Changes]:
    if not broker.is_running:
        broker.start()
    with open_app(tmp_path, broker_url=broker.url) as app:
        yield app.celeriac.changes


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.stop()


def test_who_listens_hears_what_another_process_says(changes: Changes, ear: Ear) -> None:
    ear.listen(changes)

    changes.tell([ONE], [Ended(task_id=TWO, state="completed")])

    wait_until(lambda: ear.ids, "it was heard")
    assert ear.heard[0] == Change(is_partial=True)
    assert ear.heard[1] == Change(task_ids=(ONE, TWO), ended={"completed": 1})


def test_many_changes_are_said_in_few_words(changes: Changes, ear: Ear) -> None:
    ear.listen(changes)

    for number in range(500):
        changes.tell([TaskId(str(number)), ONE])

    wait_until(lambda: len(set(ear.ids)) == 501, "all were heard")
    assert len(ear.heard) < 100


def test_what_is_too_much_to_name_is_said_to_be_there(changes: Changes, ear: Ear) -> None:
    ear.listen(changes)

    changes.tell([TaskId(str(number)) for number in range(MOST_NAMED + 1)])

    wait_until(lambda: ear.ids, "it was heard")
    assert len(ear.ids) == MOST_NAMED
    assert ear.heard[-1].is_partial


def test_a_broker_that_comes_back_is_heard_again(
    changes: Changes, ear: Ear, broker: ValkeyServer
) -> None:
    ear.listen(changes)

    broker.kill()
    wait_until(lambda: ear.lost, "it is known that nothing is heard")
    broker.start()
    wait_until(lambda: len(ear.heard) > 1, "it listens again")

    assert ear.heard[1] == Change(is_partial=True)

    def is_heard() -> bool:
        # What is said while nobody can hear it is lost; whoever listens is told that it is.
        changes.tell([TWO])
        return bool(ear.ids)

    wait_until(is_heard, "it was heard")
    assert ear.heard[-1].task_ids == (TWO,)


def test_nobody_waits_for_a_broker_that_is_away(changes: Changes, broker: ValkeyServer) -> None:
    broker.kill()
    before = set(threading.enumerate())

    changes.tell([ONE])
    changes.close()

    left = set(threading.enumerate()) - before
    assert "celeriac-changes" not in {thread.name for thread in left}


@pytest.mark.parametrize(
    "said",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"ids":[1],"ended":{},"partial":false}',
        b'{"ids":["a"],"ended":{"x":"y"},"partial":false}',
        b'{"ids":["a"],"ended":[],"partial":false}',
        b'{"ids":["a"],"ended":{"completed":-1},"partial":false}',
        b'{"ids":["a"],"ended":{"completed":1' + b"0" * 400 + b'},"partial":false}',
        b"[" * 100_000,
    ],
    ids=lambda said: said[:60],
)
def test_what_is_none_of_ours_is_not_heard(
    changes: Changes, ear: Ear, broker: ValkeyServer, said: bytes
) -> None:
    ear.listen(changes)

    broker.client().publish(CHANNEL, said)
    changes.tell([ONE])

    wait_until(lambda: ear.ids, "the next word was heard")
    assert ear.ids == [ONE]


def test_the_last_word_is_said_before_the_end(changes: Changes, ear: Ear) -> None:
    ear.listen(changes)

    changes.tell([ONE])
    changes.close()
    changes.tell([TWO])

    wait_until(lambda: ear.ids, "it was heard")
    assert ear.ids == [ONE]


def test_in_one_process_the_word_needs_no_broker(tmp_path: Path, ear: Ear) -> None:
    with open_app(tmp_path) as app:
        ear.listen(app.celeriac.changes)
        app.celeriac.changes.tell([ONE])
        wait_until(lambda: ear.ids, "it was heard")
        ear.stop()
        app.celeriac.changes.tell([TWO])
        app.celeriac.changes.close()

    assert ear.ids == [ONE]


def test_a_broker_that_carries_no_such_words_is_not_listened_to(tmp_path: Path, ear: Ear) -> None:
    with open_app(tmp_path, broker_url="amqp://guest:guest@127.0.0.1:1//") as app:
        listener = app.celeriac.changes.listen(ear.heard.append, ear._lose)
        listener.stop()

    assert (ear.heard, ear.lost) == ([], 1)


def test_a_child_says_nothing() -> None:
    silent = NoChanges()

    silent.tell([ONE])
    silent.close()


def test_who_ends_while_it_gathers_says_its_last_word_and_ends(
    changes: Changes, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathers, goes_on = threading.Event(), threading.Event()

    def gather(_: float) -> None:
        gathers.set()
        goes_on.wait(20.0)

    ear.listen(changes)
    monkeypatch.setattr("celeriac.engine.changes.time.sleep", gather)
    changes.tell([ONE])
    gathers.wait(20.0)
    monkeypatch.undo()

    closer = threading.Thread(target=changes.close)
    closer.start()
    wait_until(lambda: changes._is_closed, "it is to end")
    goes_on.set()
    closer.join()

    assert changes._thread is not None
    assert not changes._thread.is_alive()
    wait_until(lambda: ear.ids == [ONE], "it was heard")
