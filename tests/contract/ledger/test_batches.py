"""One bad row never fails its neighbours, and what was said twice is recorded once."""

from __future__ import annotations

import threading

import pytest

from celeriac.core.outcome import Ending
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, Codec, NewTask
from celeriac.errors import CommitInDoubtError, LedgerUnavailableError
from celeriac.ledger.database import Database
from celeriac.ledger.open import Ledger, open_ledger
from tests.contract.ledger.desk import Desk, new, new_chord, waiting
from tests.fakes import Clock

BAD_CONTINUATIONS = [
    new("bad", priority=10),
    new("b\0ad"),
    new("bad", arguments=Arguments(codec=Codec.JSON, text='"\ud800"')),
    new("bad", is_waiting=True),
]


@pytest.mark.parametrize("bad", BAD_CONTINUATIONS)
def test_an_outcome_that_cannot_be_kept_does_not_fail_its_neighbours(
    desk: Desk, bad: NewTask
) -> None:
    ids = [f"t{number}" for number in range(20)]
    desk.put(*map(new, ids), new("wanted"))
    held = desk.claim(*ids)
    outcomes = [
        desk.outcome(each, Ending.COMPLETED, result="1", continuations=(new(f"{each.id}-next"),))
        for each in held
    ]
    outcomes[7] = desk.outcome(held[7], Ending.COMPLETED, result="1", continuations=(bad,))

    exchange = desk.exchange(*outcomes, wanted=["wanted"])

    assert [task.id for task in exchange.claimed] == ["wanted"]
    assert exchange.lost == ()
    assert len(exchange.ended) == len(ids)
    error = desk.get("t7").error
    assert error is not None
    assert (desk.state("t7"), error.kind) == (TaskState.FAILED, ErrorKind.REJECTED)
    for name in set(ids) - {"t7"}:
        assert desk.state(name) is TaskState.COMPLETED
        assert desk.state(f"{name}-next") is TaskState.QUEUED


@pytest.mark.parametrize("result", ["\0", '"\ud800"'])
def test_a_result_that_cannot_be_kept_is_a_failure(desk: Desk, result: str) -> None:
    bad, good = desk.begin("bad"), desk.begin("good")

    desk.exchange(
        desk.outcome(bad, Ending.COMPLETED, result=result),
        desk.outcome(good, Ending.COMPLETED, result="1"),
    )

    assert desk.state("bad") is TaskState.FAILED
    assert desk.get("good").result == "1"


def test_a_chord_that_cannot_be_kept_is_its_makers_failure(desk: Desk) -> None:
    desk.put(new("maker"), waiting("next", "maker"))

    desk.complete(desk.claim_one("maker"), chords=(new_chord("c", 0),))

    assert desk.state("maker") is TaskState.FAILED
    assert desk.state("next") is TaskState.FAILED


class LosingAnswers:
    """A database whose answer to the next COMMIT gets lost on its way."""

    def __init__(self, ledger: Ledger) -> None:
        self._database: Database = ledger._database
        self._write = self._database.write
        self._database.write = self._lose  # type: ignore[method-assign, assignment]

    def _lose(self, act: object, **how: bool) -> object:
        self._database.write = self._write  # type: ignore[method-assign]
        self._write(act, **how)  # type: ignore[arg-type]
        raise CommitInDoubtError("the connection was cut")


def test_an_exchange_said_again_after_its_answer_was_lost_is_recorded_once(
    desk: Desk, ledger: Ledger
) -> None:
    first, second, third = desk.begin("a"), desk.begin("b"), desk.begin("c")
    desk.put(new("wanted"), new("other"))
    outcomes = [
        desk.outcome(first, Ending.COMPLETED, result="1", continuations=(new("next"),)),
        desk.outcome(second, Ending.FAILED),
        desk.outcome(third, Ending.RETRIED, resend=new("c", retries=1)),
    ]
    LosingAnswers(ledger)

    with pytest.raises(LedgerUnavailableError):
        desk.exchange(*outcomes, wanted=["wanted", "other"])
    assert desk.state("wanted") is TaskState.RUNNING
    exchange = desk.exchange(*outcomes, wanted=["wanted"])

    assert exchange.lost == ()
    assert {each.task_id: each.state for each in exchange.ended} == {
        "a": "completed",
        "b": "failed",
    }
    assert exchange.ended[0].result == "1"
    assert desk.get("a").version == 3
    # Claims that nobody heard of are given back; one of them is wanted still.
    assert [task.id for task in exchange.claimed] == ["wanted"]
    assert {bell.task_id for bell in exchange.doorbells} == {"c", "other"}
    assert desk.get("other").crashes == 0
    assert (desk.get("other").attempt, desk.endings("other")) == (0, [])


def test_a_late_word_is_not_taken_for_one_that_was_recorded(desk: Desk, ledger: Ledger) -> None:
    held = desk.begin("a")
    ledger.sweeps.reap("w1", 1)

    exchange = desk.exchange(desk.outcome(held, Ending.COMPLETED))

    assert (exchange.lost, exchange.ended) == (("a",), ())


def test_nothing_is_in_doubt_when_the_database_was_away(desk: Desk, ledger: Ledger) -> None:
    desk.put(new("a"))
    database = ledger._database
    write = database._write

    def be_away(_: object) -> object:
        raise LedgerUnavailableError("away")

    database._write = be_away  # type: ignore[method-assign, assignment]
    with pytest.raises(LedgerUnavailableError):
        desk.claim("a")
    database._write = write  # type: ignore[method-assign]

    assert [task.id for task in desk.claim("a")] == ["a"]
    assert desk.get("a").attempt == 1


def test_of_many_workers_that_want_the_same_each_task_goes_to_one(
    ledger_url: str, desk: Desk, clock: Clock
) -> None:
    ids = [f"t{number:03}" for number in range(120)]
    desk.put(*map(new, ids))
    claims: list[str] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        # Half of them through a ledger of their own, as in another process.
        ledger = open_ledger(ledger_url, clock=clock) if number % 2 else desk.ledger
        place = Desk(ledger, clock, f"worker-{number}")
        try:
            order = ids if number < 3 else ids[::-1]
            for begin in range(0, len(order), 10):
                held = place.claim(*order[begin : begin + 10])
                claims.extend(task.id for task in held)
                outcomes = [place.outcome(each, Ending.COMPLETED) for each in held]
                assert place.exchange(*outcomes).lost == ()
        except BaseException as error:
            errors.append(error)
        finally:
            if ledger is not desk.ledger:
                ledger.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sorted(claims) == ids
    assert desk.run_sql("SELECT DISTINCT state, attempt FROM tasks") == [("completed", 1)]


def test_parts_that_end_at_the_same_time_fire_their_chord_once(
    ledger_url: str, desk: Desk, clock: Clock
) -> None:
    ids = [f"p{number}" for number in range(40)]
    desk.put(*(new(name, chord_id="c") for name in ids), chords=[new_chord("c", 40)])
    places = [Desk(open_ledger(ledger_url, clock=clock), clock, f"w-{n}") for n in range(4)]
    fired: list[str] = []

    def work(place: Desk, mine: list[str]) -> None:
        for held in place.claim(*mine):
            fired.extend(bell.task_id for bell in place.complete(held).doorbells)

    threads = [
        threading.Thread(target=work, args=(place, ids[number::4]))
        for number, place in enumerate(places)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in places:
        place.ledger.close()

    assert fired == ["c:fire"]


def test_claims_are_told_although_nobody_can_say_what_shall_stop(
    desk: Desk, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(new("a"))

    def be_away(act: object) -> object:
        raise LedgerUnavailableError("it went away after the commit")

    monkeypatch.setattr(ledger._database, "read", be_away)
    exchange = desk.exchange(wanted=["a"])
    monkeypatch.undo()

    assert [task.id for task in exchange.claimed] == ["a"]
    assert exchange.cancelled_running == ()
