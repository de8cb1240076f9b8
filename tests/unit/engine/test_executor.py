from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from celery.utils.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.outcome import Ending, Outcome
from celeriac.core.state import ErrorKind
from celeriac.core.task import Arguments, Codec, TaskId
from celeriac.engine import codec
from celeriac.engine.executor import Executor, Report, shown_result
from celeriac.engine.pool import wire
from tests.engines import make_claimed, open_app

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class UnspeakableError(Exception):
    """An error that cannot even say what went wrong."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    with open_app(tmp_path_factory.mktemp("executor")) as made:
        _register(made)
        yield made


def _register(app: Celery) -> None:
    @app.task(name="add")
    def add(*numbers: Any) -> Any:
        return sum(numbers)

    @app.task(name="give")
    def give(what: str) -> Any:
        return {
            "moment": NOW,
            "object": object(),
            "none": None,
            "surrogate": "\udc80",
            "nul": "a\x00b",
        }[what]

    @app.task(name="raise", throws=(KeyError,))
    def raise_(what: str) -> None:
        raise {
            "value": ValueError("too blue", 7),
            "soft": SoftTimeLimitExceeded(3),
            "ignore": Ignore(),
            "reject": Reject("no room"),
            "requeue": Reject("later", requeue=True),
            "again": Retry("by hand"),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
            "nul": ValueError("a\x00b\udc80"),
            "unspeakable": UnspeakableError(),
            "expected": KeyError("gone"),
            "memory": MemoryError("full"),
        }[what]

    @app.task(name="retry", bind=True, max_retries=2)
    def retry(self: Any, **options: Any) -> Any:
        raise self.retry(exc=ValueError("not yet"), **{"countdown": 60, **options})

    @app.task(name="retry_softly", bind=True)
    def retry_softly(self: Any, *given: Any) -> str:
        self.retry(args=[1], throw=False, countdown=0)
        return "returned all the same"

    @app.task(name="replace", bind=True)
    def replace_(self: Any, kind: str) -> Any:
        sign = app.tasks["add"].s
        raise self.replace(
            {
                "task": lambda: sign(1, 2),
                "chain": lambda: chain(sign(1, 2), sign(3)),
                "group": lambda: group(sign(1), sign(2)),
                "chord": lambda: chord([sign(1), sign(2)], sign()),
            }[kind]()
        )

    @app.task(name="clean_up")
    def clean_up(task_id: str) -> None:
        """Be an errback that is sent, as one with a single argument is."""

    @app.task(name="send", bind=True)
    def send(self: Any) -> str:
        return str(app.tasks["add"].delay(1, 2).id)

    @app.task(name="request", bind=True)
    def request(self: Any) -> Any:
        asked = self.request
        return [asked.id, asked.retries, asked.hostname, asked.delivery_info["routing_key"]]

    @app.task(name="silent", ignore_result=True)
    def silent() -> int:
        return 42

    class Stubborn(app.Task):
        def on_failure(self, *_: Any) -> None:
            raise RuntimeError("the handler is broken, too")

        def on_success(self, *_: Any) -> None:
            raise RuntimeError("the handler is broken")

        def on_retry(self, *_: Any) -> None:
            raise RuntimeError("the handler is broken")

        def after_return(self, *_: Any) -> None:
            raise Reject("after all")

    class Handled(Stubborn):
        def after_return(self, *_: Any) -> None:
            return None

    @app.task(name="handled", base=Handled)
    def handled(is_good: bool) -> int:  # noqa: FBT001 - as a message calls it
        return 1 if is_good else 1 // 0

    @app.task(name="handled_retry", base=Handled, bind=True)
    def handled_retry(self: Any) -> None:
        raise self.retry(exc=ValueError("not yet"))

    @app.task(name="stubborn", base=Stubborn)
    def stubborn() -> int:
        return 1


@pytest.fixture
def executor(app: Celery) -> Executor:
    return Executor(app, hostname="celery@host", now=lambda: NOW)


def _args(*args: Any, **kwargs: Any) -> Arguments:
    return codec.dump_arguments(args, kwargs)


def _passes_the_wire(ran: tuple[Outcome, Report]) -> bool:
    """Whether a child can tell its parent of this end."""
    (message,) = wire.Unpacker().feed(wire.pack(["done", *ran]))
    return wire.outcome(message[1]) == ran[0]


def test_a_task_that_returns_completes_with_its_result(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("add", 1, 2))

    assert outcome == Outcome(
        task_id=TaskId("task-1"),
        lease_token="lease",
        ending=Ending.COMPLETED,
        finished_at=NOW,
        result="3",
    )
    assert (report.state, report.shown) == ("SUCCESS", "3")
    assert report.runtime_seconds > 0


def test_a_result_that_plain_json_cannot_carry_is_kept_typed(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("give", "moment"))

    assert outcome.result is not None
    assert outcome.result_codec is Codec.TYPED
    assert codec.load(outcome.result_codec, outcome.result) == NOW


def test_no_result_is_a_result(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("give", "none"))

    assert outcome.result == "null"


def test_an_ignored_result_is_not_kept(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("silent", ignore_result=True))

    assert outcome.ending is Ending.COMPLETED
    assert outcome.result is None
    assert report.state == "SUCCESS"


def test_a_result_that_no_json_carries_fails_the_task(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("give", "object"))

    assert outcome.ending is Ending.FAILED
    assert outcome.result is None
    assert outcome.error is not None
    assert outcome.error.type == "EncodeError"


def test_an_exception_fails_the_task_with_all_it_takes_to_raise_it_again(
    executor: Executor, app: Celery
) -> None:
    outcome, report = executor.run(make_claimed("raise", "value"))

    error = outcome.error
    assert error is not None
    assert outcome.ending is Ending.FAILED
    assert (error.kind, error.module, error.type) == (
        ErrorKind.EXCEPTION,
        "builtins",
        "ValueError",
    )
    assert json.loads(error.arguments) == ["too blue", 7]
    assert "in raise_" in error.traceback
    assert not outcome.needs_errbacks
    assert report.state == "FAILURE"
    assert report.shown == "ValueError('too blue', 7)"


def test_a_soft_limit_is_a_timeout(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("raise", "soft"))

    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.TIMEOUT
    assert outcome.error.type == "SoftTimeLimitExceeded"


def test_wrong_arguments_fail_the_task_as_in_celery(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("give", 1, 2, 3))

    assert outcome.error is not None
    assert outcome.error.type == "TypeError"


@pytest.mark.parametrize("what", ["exit", "interrupt"])
def test_what_no_task_may_keep_to_itself_leaves(executor: Executor, what: str) -> None:
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        executor.run(make_claimed("raise", what))


def test_a_body_out_of_memory_is_lost_with_its_process(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("raise", "memory"))

    assert outcome.ending is Ending.LOST
    assert outcome.is_suspect
    assert report.shown == "MemoryError('full')"


def test_an_ignored_task_completes_without_a_result(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("raise", "ignore"))

    assert outcome.ending is Ending.COMPLETED
    assert outcome.is_ignored
    assert outcome.result is None
    assert report.state == "IGNORED"


def test_a_rejected_task_fails_with_its_reason(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("raise", "reject"))

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.REJECTED
    assert outcome.error.message == "no room"
    assert report.state == "REJECTED"


def test_a_task_rejected_for_later_is_given_back(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("raise", "requeue"))

    assert outcome.ending is Ending.RETURNED


def test_a_retry_sends_the_task_again_with_its_end(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("retry", retries=1))

    again = outcome.resend
    assert again is not None
    assert outcome.ending is Ending.RETRIED
    assert again.id == "task-1"
    assert again.retries == 2
    assert again.not_before is not None
    assert outcome.error is not None
    assert outcome.error.message == "not yet"
    assert (report.state, report.shown) == ("RETRY", "ValueError('not yet')")


def test_a_retry_keeps_what_the_task_was_sent_with(executor: Executor, app: Celery) -> None:
    link = app.tasks["add"].s(1).set(task_id="link")
    claimed = make_claimed(
        "retry",
        headers=codec.dump_typed({"callbacks": [link], "shadow": "alias", "tenant": "x"}),
        priority=8,
        queue="cpu",
        root_id="root",
        parent_id="parent",
        timeout_seconds=9.0,
        soft_timeout_seconds=4.0,
    )

    outcome, _ = executor.run(claimed)

    again = outcome.resend
    assert again is not None
    headers = codec.load_typed(again.headers)
    assert [each["options"]["task_id"] for each in headers["callbacks"]] == ["link"]
    assert headers["shadow"] == "alias"
    assert headers["tenant"] == "x"
    assert (again.queue, again.priority) == ("cpu", 8)
    assert (again.root_id, again.parent_id) == ("root", "parent")
    assert (again.timeout_seconds, again.soft_timeout_seconds) == (9.0, 4.0)


def test_a_task_out_of_retries_fails_with_what_went_wrong(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("retry", retries=2))

    assert outcome.ending is Ending.FAILED
    assert outcome.resend is None
    assert outcome.error is not None
    assert outcome.error.message == "not yet"


def test_a_retry_that_does_not_raise_wins_over_what_the_body_returns(
    executor: Executor,
) -> None:
    outcome, report = executor.run(make_claimed("retry_softly"))

    assert outcome.ending is Ending.RETRIED
    assert outcome.result is None
    assert outcome.resend is not None
    assert codec.load_arguments(outcome.resend.arguments) == ([1], {})
    assert report.state == "RETRY"


def test_a_retry_raised_by_hand_gives_the_task_back(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("raise", "again"))

    assert outcome.ending is Ending.RETURNED


def test_a_task_replaced_by_one_runs_on_under_its_own_id(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("replace", "task"))

    assert outcome.ending is Ending.RETRIED
    assert outcome.resend is not None
    assert (outcome.resend.id, outcome.resend.name) == ("task-1", "add")
    assert outcome.continuations == ()


@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_a_task_replaced_by_a_canvas_waits_for_its_last_step(executor: Executor, kind: str) -> None:
    outcome, _ = executor.run(make_claimed("replace", kind))

    waits = outcome.resend
    assert waits is not None
    assert outcome.ending is Ending.REPLACED
    assert waits.id == "task-1"
    assert waits.is_waiting
    upstream = {str(each.id) for each in outcome.continuations} | {
        chord.id for chord in outcome.chords
    }
    assert waits.upstream_id in upstream
    assert "task-1" not in {each.id for each in outcome.continuations}


def test_a_chord_that_takes_a_tasks_place_stands_with_all_its_parts(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("replace", "chord"))

    (made,) = outcome.chords
    parts = [each for each in outcome.continuations if each.chord_id == made.id]
    assert made.size == 2
    assert len(parts) == 2
    assert {each.group_index for each in parts} == {0, 1}


def test_the_links_of_a_task_continue_it(executor: Executor, app: Celery) -> None:
    add = app.tasks["add"]
    links = [add.s(1).set(task_id="one"), add.s(2).set(task_id="two")]
    claimed = make_claimed("add", 3, headers=codec.dump_typed({"callbacks": links}))

    outcome, _ = executor.run(claimed)

    sent = {str(each.id): codec.load_arguments(each.arguments) for each in outcome.continuations}
    assert sent == {"one": ([3, 1], {}), "two": ([3, 2], {})}


def test_the_rest_of_a_chain_continues_with_its_next_step(executor: Executor, app: Celery) -> None:
    add = app.tasks["add"]
    steps = [add.s(2).set(task_id="last"), add.s(1).set(task_id="next")]
    claimed = make_claimed("add", 3, headers=codec.dump_typed({"chain": steps}))

    outcome, _ = executor.run(claimed)

    following, last = outcome.continuations
    assert (following.id, following.is_waiting) == ("next", False)
    assert (last.id, last.is_waiting, last.upstream_id) == ("last", True, "next")
    assert following.parent_id == "task-1"


def test_a_failed_task_continues_with_its_errbacks_only(executor: Executor, app: Celery) -> None:
    add = app.tasks["add"]
    headers = {
        "callbacks": [add.s(1).set(task_id="link")],
        "errbacks": [app.tasks["clean_up"].s().set(task_id="errback")],
        "chain": [add.s(3).set(task_id="next")],
    }
    claimed = make_claimed("raise", "value", headers=codec.dump_typed(headers))

    outcome, _ = executor.run(claimed)

    assert [each.id for each in outcome.continuations] == ["errback"]


def test_what_a_body_sends_stands_at_once_and_not_with_its_end(
    executor: Executor, app: Celery
) -> None:
    outcome, _ = executor.run(make_claimed("send"))

    assert outcome.result is not None
    sent = TaskId(json.loads(outcome.result))
    assert outcome.continuations == ()
    found = app.celeriac.road.find([sent])[sent]
    assert (found.name, found.parent_id) == ("add", "task-1")


def test_a_failed_end_takes_back_what_would_have_followed_success(
    executor: Executor, app: Celery
) -> None:
    # Celery sends the links of a task before it looks whether the result can be kept.
    link = app.tasks["add"].si(1).set(task_id="link")
    claimed = make_claimed("give", "object", headers=codec.dump_typed({"callbacks": [link]}))

    outcome, _ = executor.run(claimed)

    assert outcome.ending is Ending.FAILED
    assert outcome.continuations == ()


def test_what_follows_a_task_follows_the_attempt_that_is_its_last(
    executor: Executor, app: Celery
) -> None:
    link = app.tasks["add"].si(1).set(task_id="link")
    claimed = make_claimed("retry_softly", headers=codec.dump_typed({"callbacks": [link]}))

    outcome, _ = executor.run(claimed)

    assert outcome.ending is Ending.RETRIED
    assert outcome.continuations == ()


def test_an_unknown_task_is_given_back_for_a_worker_that_knows_it(executor: Executor) -> None:
    outcome, report = executor.run(make_claimed("of.tomorrow"))

    assert outcome.ending is Ending.UNBEGUN
    assert report.state == "IGNORED"


@pytest.mark.parametrize("text", ["{", "[1]", "7", '[[],{"__type__"'])
def test_arguments_that_nobody_can_read_fail_the_task(executor: Executor, text: str) -> None:
    claimed = make_claimed("add")._replace(arguments_text=text)

    outcome, _ = executor.run(claimed)

    assert outcome.ending is Ending.FAILED
    assert outcome.needs_errbacks
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.REJECTED


def test_a_task_sees_its_own_request(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("request", retries=2, queue="cpu"))

    assert outcome.result == '["task-1",2,"celery@host","cpu"]'


@pytest.mark.parametrize("what", ["nul", "surrogate"])
def test_a_result_with_odd_characters_comes_back_as_it_was(
    executor: Executor, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)

    ran = executor.run(make_claimed("give", what))

    assert ran[0].result is not None
    assert json.loads(ran[0].result) in ("a\x00b", "\udc80")
    assert _passes_the_wire(ran)


@pytest.mark.parametrize("what", ["nul", "unspeakable", "value"])
def test_whatever_a_task_raises_its_end_can_be_told_and_kept(
    executor: Executor, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Half a character in a captured log line ends the process that would send it to pytest's own.
    caplog.set_level(logging.CRITICAL + 1)

    ran = executor.run(make_claimed("raise", what))

    assert ran[0].ending is Ending.FAILED
    assert ran[0].error is not None
    assert "\x00" not in ran[0].error.message
    assert _passes_the_wire(ran)


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_a_broken_failure_handler_does_not_save_the_task_from_failing(
    executor: Executor,
) -> None:
    outcome, report = executor.run(make_claimed("handled", False))

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "ZeroDivisionError"
    assert report.state == "FAILURE"


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_a_broken_retry_handler_fails_the_task_as_in_celery(
    executor: Executor, app: Celery
) -> None:
    errback = app.tasks["clean_up"].s()
    claimed = make_claimed("handled_retry", headers=codec.dump_typed({"errbacks": [errback]}))

    outcome, _ = executor.run(claimed)

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "RuntimeError"
    assert [each.name for each in outcome.continuations] == ["clean_up"]


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_a_broken_failure_handler_does_not_call_the_errbacks_twice(
    executor: Executor, app: Celery
) -> None:
    errback = app.tasks["clean_up"].s()
    claimed = make_claimed("handled", False, headers=codec.dump_typed({"errbacks": [errback]}))

    outcome, _ = executor.run(claimed)

    assert [each.name for each in outcome.continuations] == ["clean_up"]


def test_a_broken_success_handler_does_not_fail_a_task_that_returned(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("handled", True))

    assert outcome.ending is Ending.COMPLETED
    assert outcome.result == "1"


def test_a_handler_that_rejects_after_the_body_has_its_way(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("stubborn"))

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.REJECTED


def test_a_prepared_executor_runs_as_an_unprepared_one(executor: Executor) -> None:
    executor.prepare()

    outcome, _ = executor.run(make_claimed("add", 1))

    assert outcome.result == "1"


def test_an_unreadable_header_fails_the_task(executor: Executor) -> None:
    outcome, _ = executor.run(make_claimed("add", 1, headers="{"))

    assert outcome.ending is Ending.FAILED
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.REJECTED


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()))
def test_a_result_is_shown_as_celery_shows_it(result: Any) -> None:
    assert shown_result(result, 1024) == saferepr(result, 1024)
