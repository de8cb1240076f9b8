"""A SQLite file that several processes share, and several ledgers of one process."""

from __future__ import annotations

import sys
from pathlib import Path

from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from celeriac.ledger.open import open_ledger
from tests.servers.processes import PROJECT, Process, clean_environment

ELSEWHERE = """
import sys
from tests.faults.test_ledger_file import new_task
from celeriac.ledger.open import open_ledger
url, to_add, *to_find = sys.argv[1:]
ledger = open_ledger(url)
ledger.tasks.insert([new_task(to_add)])
print(*ledger.tasks.find_many(to_find))
ledger.close()
"""


def new_task(task_id: str) -> NewTask:
    """Return a task of which only the id matters."""
    arguments = Arguments(codec=Codec.JSON, text="[[],{}]")
    return NewTask(id=TaskId(task_id), name="any", arguments=arguments)


def add_and_find_elsewhere(folder: Path, url: str, to_add: str, *to_find: str) -> set[str]:
    """Add a task in a process that opens the ledger and closes it; return what it found there."""
    process = Process(
        [sys.executable, "-c", ELSEWHERE, url, to_add, *to_find],
        log=folder / "elsewhere.log",
        environment=clean_environment({"PYTHONPATH": str(PROJECT)}),
    )
    process.start()
    if process.wait() != 0:
        raise process.failed("could not use the ledger")
    return set(process.log_text().split())


def test_nothing_is_lost_between_two_ledgers_of_a_process_and_another_process(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    first = open_ledger(url)
    first.tasks.insert([new_task("first")])
    # Opening and closing any handle of the file drops this process's locks on it (POSIX), and
    # then whoever closes the ledger elsewhere takes its log for nobody's and deletes it.
    second = open_ledger(url)
    second.tasks.insert([new_task("second")])

    add_and_find_elsewhere(tmp_path, url, "elsewhere")
    first.tasks.insert([new_task("third")])
    second.tasks.insert([new_task("fourth")])
    ids = {"first", "second", "elsewhere", "third", "fourth"}
    # Asked before the ledgers are closed: a process that is killed never closes them.
    found_elsewhere = add_and_find_elsewhere(tmp_path, url, "last", *ids)
    found_here = set(first.tasks.find_many([TaskId(each) for each in (*ids, "last")]))
    first.close()
    second.close()

    assert found_elsewhere == ids
    assert found_here == ids | {"last"}
