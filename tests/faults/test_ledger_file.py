"""A SQLite file that several processes share, and several ledgers of one process."""

from __future__ import annotations

import sys
from pathlib import Path

from celeriac.core.task import Arguments, Codec, NewTask, TaskId
from celeriac.ledger.open import open_ledger
from tests.servers.processes import PROJECT, Process, clean_environment

ADD = """
import sys
from tests.faults.test_ledger_file import new_task
from celeriac.ledger.open import open_ledger
ledger = open_ledger(sys.argv[1])
ledger.tasks.insert([new_task(sys.argv[2])])
ledger.close()
"""


def new_task(task_id: str) -> NewTask:
    """Return a task of which only the id matters."""
    arguments = Arguments(codec=Codec.JSON, text="[[],{}]")
    return NewTask(id=TaskId(task_id), name="any", arguments=arguments)


def add_elsewhere(url: str, task_id: str, folder: Path) -> None:
    """Add a task from a process that opens the ledger, and is through with it."""
    adding = Process(
        [sys.executable, "-c", ADD, url, task_id],
        log=folder / "elsewhere.log",
        environment=clean_environment({"PYTHONPATH": str(PROJECT)}),
    )
    adding.start()
    if adding.wait() != 0:
        raise adding.failed("could not add a task")


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

    add_elsewhere(url, "elsewhere", tmp_path)
    first.tasks.insert([new_task("third")])
    second.tasks.insert([new_task("fourth")])
    first.close()
    second.close()

    ids = [TaskId(each) for each in ("first", "second", "elsewhere", "third", "fourth")]
    with_fresh_eyes = open_ledger(url)
    found = with_fresh_eyes.tasks.find_many(ids)
    with_fresh_eyes.close()
    assert sorted(found) == sorted(ids)
