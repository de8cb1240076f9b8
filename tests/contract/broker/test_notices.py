from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError

from celeriac.core.moments import utc_now
from celeriac.core.outcome import Ended
from celeriac.core.state import ErrorKind
from celeriac.core.task import Codec, TaskError, TaskId
from celeriac.engine import codec
from celeriac.engine.notices import Notices
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk
from tests.engines import open_app
from tests.fakes import Clock, open_test_ledger
from tests.servers.valkey import ValkeyServer

VALUES = [3, None, "text", [1, {"a": None}], b"\x00\xff"]


@pytest.fixture
def notices(app: Celery) -> Notices:
    made: Notices = app.celeriac.notices
    return made


@pytest.fixture
def plain(valkey: ValkeyServer) -> Iterator[Celery]:
    """A client that has only Celery, and the broker as its result backend."""
    made = Celery("plain", broker=valkey.url, backend=valkey.url, set_as_current=False)
    yield made
    made.close()


def _completed(value: Any = 3, task_id: str = "a") -> Ended:
    kind, text = codec.dump(value)
    return Ended(task_id=TaskId(task_id), state="completed", result=text, result_codec=kind)


@pytest.mark.parametrize("value", VALUES)
def test_a_plain_celery_client_reads_a_result(notices: Notices, plain: Celery, value: Any) -> None:
    notices.tell([_completed(value)])

    assert plain.AsyncResult("a").get(timeout=2) == value


def test_a_plain_celery_client_is_woken(notices: Notices, plain: Celery) -> None:
    result = plain.AsyncResult("a")
    teller = threading.Timer(0.05, notices.tell, ([_completed()],))
    teller.start()

    assert result.get(timeout=5) == 3
    teller.join()


def test_a_plain_celery_client_gets_the_exception(notices: Notices, plain: Celery) -> None:
    error = TaskError(
        kind=ErrorKind.EXCEPTION,
        type="ValueError",
        module="builtins",
        message="blue",
        arguments='["blue",7]',
        traceback="Traceback …",
    )

    notices.tell([Ended(task_id=TaskId("a"), state="failed", error=error)])

    result = plain.AsyncResult("a")
    with pytest.raises(ValueError, match="blue") as raised:
        result.get(timeout=2)
    assert raised.value.args == ("blue", 7)
    assert (result.state, result.traceback) == ("FAILURE", "Traceback …")


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_plain_celery_client_sees_that_a_task_was_revoked(
    notices: Notices, plain: Celery, state: str
) -> None:
    notices.tell([Ended(task_id=TaskId("a"), state=state)])

    assert plain.AsyncResult("a").state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        plain.AsyncResult("a").get(timeout=2)


def test_the_copy_of_a_result_does_not_stay(notices: Notices, valkey: ValkeyServer) -> None:
    notices.tell([_completed()])

    seconds: Any = valkey.client().ttl("celery-task-meta-a")
    assert 590 <= seconds <= 600


def test_a_typed_result_is_written_as_celery_writes_it(notices: Notices, plain: Celery) -> None:
    ended = _completed({"at": b"x"})

    notices.tell([ended])

    assert ended.result_codec is Codec.TYPED
    assert plain.AsyncResult("a").get(timeout=2) == {"at": b"x"}


def test_whoever_listens_is_woken_by_an_end(notices: Notices) -> None:
    with notices.listening(TaskId("a")) as notice:
        teller = threading.Timer(0.05, notices.tell, ([_completed()],))
        teller.start()
        began = time.monotonic()

        notice.wait(5.0)

        assert 0.04 < time.monotonic() - began < 0.9
        teller.join()


def test_an_end_between_listening_and_waiting_is_not_missed(notices: Notices) -> None:
    with notices.listening(TaskId("a")) as notice:
        notices.tell([_completed()])
        began = time.monotonic()

        notice.wait(5.0)

        assert time.monotonic() - began < 0.9


def test_whoever_listens_next_does_so_on_the_same_connection_and_hears_only_his_own(
    notices: Notices, valkey: ValkeyServer
) -> None:
    with notices.listening(TaskId("a")):
        pass
    made = _connections_made(valkey)
    # For somebody who does not wait any more.
    notices.tell([_completed(task_id="a")])

    with notices.listening(TaskId("b")) as notice:
        began = time.monotonic()
        notice.wait(0.1)
        waited = time.monotonic() - began
        notices.tell([_completed(task_id="b")])
        notice.wait(5.0)

    assert waited >= 0.09
    assert time.monotonic() - began < 0.9
    # One to tell, and the one by which this test looks.
    assert _connections_made(valkey) - made <= 2


def test_whoever_listens_on_a_connection_that_was_cut_meanwhile_gets_another_one(
    notices: Notices, valkey: ValkeyServer
) -> None:
    with notices.listening(TaskId("a")):
        pass
    valkey.client().client_kill_filter(_type="normal", skipme=True)
    valkey.client().client_kill_filter(_type="pubsub")

    with notices.listening(TaskId("a")) as notice:
        notices.tell([_completed()])
        notices.tell([_completed()])
        began = time.monotonic()
        notice.wait(5.0)

    assert time.monotonic() - began < 0.9


def _connections_made(valkey: ValkeyServer) -> int:
    facts: Any = valkey.client().info("stats")
    return int(facts["total_connections_received"])


def test_whoever_listens_waits_no_longer_than_it_says(notices: Notices) -> None:
    with notices.listening(TaskId("a")) as notice:
        notice.wait(0.05)
        began = time.monotonic()

        notice.wait(0.05)

        assert time.monotonic() - began < 0.5


def test_a_broker_that_goes_away_while_somebody_waits_leaves_him_pauses(
    notices: Notices, valkey: ValkeyServer
) -> None:
    with notices.listening(TaskId("a")) as notice:
        notice.wait(0.05)
        valkey.kill()

        for _ in range(3):
            began = time.monotonic()
            notice.wait(0.05)

        assert time.monotonic() - began < 0.5
    valkey.start()


def test_what_is_told_again_says_when_it_ended(
    app: Celery, notices: Notices, plain: Celery, ledger: Ledger
) -> None:
    app.celeriac.adopts = True
    desk = Desk(ledger, Clock(utc_now() - timedelta(minutes=10)))
    desk.complete(desk.begin("a"))
    notices.miss(desk.clock())

    app.celeriac.tell_missed()

    assert plain.AsyncResult("a").get(timeout=2) == 3
    assert plain.AsyncResult("a").date_done == ledger.tasks.get("a").finished_at


def test_more_is_told_than_the_broker_takes_in_one_piece(
    notices: Notices, plain: Celery, valkey: ValkeyServer
) -> None:
    broker: Any = valkey.client()
    before = broker.config_get("proto-max-bulk-len")["proto-max-bulk-len"]
    broker.config_set("proto-max-bulk-len", "1mb")

    is_told = notices.tell([_completed("x" * 400_000, task_id=str(n)) for n in range(5)])

    broker.config_set("proto-max-bulk-len", before)
    assert is_told
    assert [len(plain.AsyncResult(str(n)).get(timeout=2)) for n in range(5)] == [400_000] * 5


def test_a_broker_that_is_away_misses_what_is_told(
    notices: Notices, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.kill()

    notices.tell([_completed()])
    with notices.listening(TaskId("a")) as notice:
        notice.wait(0.01)

    assert "results were not announced" in caplog.text
    valkey.start()


def test_a_broker_that_does_not_answer_is_waited_for_once(
    notices: Notices, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices.tell([_completed()])
    tries: list[int] = []
    tell = notices._tell

    def tell_and_count(ended: Sequence[Ended]) -> None:
        tries.append(len(ended))
        tell(ended)

    monkeypatch.setattr(notices, "_tell", tell_and_count)
    valkey.signal(signal.SIGSTOP)

    is_told = notices.tell([_completed(task_id="b")])

    valkey.signal(signal.SIGCONT)
    assert not is_told
    assert tries == [1]


def test_a_broker_that_came_back_at_another_port_is_told_at_once(
    app: Celery, valkey: ValkeyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices: Notices = app.celeriac.notices
    notices.tell([_completed()])
    with ValkeyServer(tmp_path / "other") as other:
        valkey.kill()
        app.conf.broker_write_url = other.url

        notices.tell([_completed(task_id="b")])

        assert other.client().exists("celery-task-meta-b")
        notices.close()
    assert "results were not announced" not in caplog.text
    valkey.start()


def test_in_one_process_a_waiter_is_woken(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        with app.celeriac.notices.listening(TaskId("a")) as notice:
            app.celeriac.notices.tell([_completed(task_id="b"), _completed()])
            began = time.monotonic()
            notice.wait(None)
            # Woken by what was told before it waited; without that it would look again and again.
            notice.wait(None)

        assert time.monotonic() - began < 0.4
        assert app.celeriac.notices._waiting == {}


def test_in_one_process_one_waits_for_many_tasks(tmp_path: Path) -> None:
    ids = (TaskId("a"), TaskId("b"))
    with open_app(tmp_path) as app:
        with app.celeriac.notices.listening(*ids) as notice:
            app.celeriac.notices.tell([Ended(task_id=ids[1], state="completed")])
            notice.wait(60.0)
            assert list(app.celeriac.notices._waiting) == list(ids)

        assert app.celeriac.notices._waiting == {}


def test_in_one_process_a_waiter_looks_again_all_the_same(tmp_path: Path) -> None:
    with open_app(tmp_path) as app, app.celeriac.notices.listening(TaskId("a")) as notice:
        notice.wait(0.01)
        notice.wait(None)


def test_telling_of_nothing_needs_no_broker(tmp_path: Path) -> None:
    with open_app(tmp_path, broker_url="redis://127.0.0.1:1/0") as app:
        app.celeriac.notices.tell([])


def test_a_result_that_is_there_is_read_without_a_word_to_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_test_ledger(tmp_path).close()
    with open_app(tmp_path) as app:
        desk = Desk(app.celeriac.ledger, Clock())
        desk.complete(desk.begin("a"), result="3")
        monkeypatch.setattr(app.celeriac.notices, "listening", _fail)

        assert app.AsyncResult("a").get(timeout=5) == 3
        assert [meta["result"] for _, meta in app.backend.get_many(["a"])] == [3]


def _fail(*_: TaskId) -> None:
    raise AssertionError("it asked to be told")
