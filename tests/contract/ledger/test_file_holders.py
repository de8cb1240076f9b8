from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.core.file_reference import FileId
from celeriac.core.outcome import Ending
from celeriac.core.task import Arguments, Codec
from celeriac.ledger.open import Ledger
from tests.contract.ledger.desk import Desk, new, new_chord, waiting

FIRST, SECOND, THIRD = (FileId(letter * 32) for letter in "abc")
EVERY = [FIRST, SECOND, THIRD]


def speaking_of(*ids: FileId) -> Arguments:
    files = [{"celeriac_file": each, "name": "x"} for each in ids]
    return Arguments(codec=Codec.JSON, text=json.dumps([[], {"files": files}]))


def held(ledger: Ledger) -> set[FileId]:
    return ledger.sweeps.held_files(EVERY)


def delete(ledger: Ledger, statement: str) -> None:
    with ledger._database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_a_task_holds_on_to_the_files_it_was_given(ledger: Ledger) -> None:
    ledger.tasks.insert([new("a", arguments=speaking_of(FIRST, SECOND, FIRST)), new("b")])

    assert held(ledger) == {FIRST, SECOND}


def test_what_is_deleted_holds_on_to_nothing(ledger: Ledger) -> None:
    ledger.tasks.insert([new(each, arguments=speaking_of(FIRST)) for each in ("a", "b")])

    delete(ledger, "DELETE FROM tasks WHERE id = 'a'")
    assert held(ledger) == {FIRST}
    delete(ledger, "DELETE FROM tasks WHERE id = 'b'")

    assert held(ledger) == set()
    ledger.sweeps.release_files([FIRST])
    ledger.sweeps.release_files([FIRST])


def test_a_task_that_was_not_put_in_holds_on_to_nothing(ledger: Ledger) -> None:
    ledger.tasks.insert([new("a")])

    with pytest.raises(Exception, match="another task has the id"):
        ledger.tasks.insert([new("a", arguments=speaking_of(FIRST))])

    assert held(ledger) == set()


def test_the_rest_of_a_chain_holds_on_in_the_headers_of_the_first(ledger: Ledger) -> None:
    link = json.dumps({"chain": [{"task": "b", "args": [{"celeriac_file": FIRST}]}]})
    inner = json.dumps({"body": json.dumps({"celeriac_file": SECOND})})

    ledger.tasks.insert([new("a", headers=link)], chords=[new_chord("c", 1, body=inner)])

    assert held(ledger) == {FIRST, SECOND}


def test_a_chord_that_is_gone_holds_on_to_nothing(ledger: Ledger) -> None:
    body = json.dumps({"celeriac_file": FIRST})
    ledger.tasks.insert([], chords=[new_chord("c", 1, body=body)])

    delete(ledger, "DELETE FROM chords")

    assert held(ledger) == set()


def result(*ids: FileId) -> dict[str, Any]:
    return {"result": json.dumps([{"celeriac_file": each} for each in ids])}


def test_a_completed_task_holds_on_to_what_it_returned(ledger: Ledger, desk: Desk) -> None:
    ledger.tasks.insert([new("a"), new("b")])
    first, second = desk.claim("a", "b")

    desk.complete(first, **result(FIRST))
    desk.complete(second, result="1")

    assert held(ledger) == {FIRST}


def test_what_a_task_sends_on_with_its_end_holds_on_too(ledger: Ledger, desk: Desk) -> None:
    ledger.tasks.insert([new("a"), waiting("b", "a")])
    [claimed] = desk.claim("a")

    desk.complete(
        claimed, **result(FIRST), continuations=(new("b", arguments=speaking_of(FIRST, SECOND)),)
    )
    delete(ledger, "DELETE FROM tasks WHERE id = 'a'")

    assert held(ledger) == {FIRST, SECOND}


def test_a_task_that_is_sent_again_holds_on_to_its_new_arguments(
    ledger: Ledger, desk: Desk
) -> None:
    ledger.tasks.insert([new("a", arguments=speaking_of(FIRST))])
    [claimed] = desk.claim("a")

    desk.end(claimed, Ending.RETRIED, resend=new("a", arguments=speaking_of(SECOND)))

    assert held(ledger) == {FIRST, SECOND}


def test_a_late_end_holds_on_to_nothing(ledger: Ledger, desk: Desk) -> None:
    ledger.tasks.insert([new("a")])
    [claimed] = desk.claim("a")
    desk.complete(claimed, result="1")

    desk.complete(claimed, **result(FIRST))

    assert held(ledger) == set()
