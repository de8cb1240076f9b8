from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from celeriac.engine.pool.slots import SlotFile, read_slots


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slots" / "worker-1"


def test_the_slots_tell_which_tasks_run(path: Path) -> None:
    slots = SlotFile(path)

    slots.set(0, "first")
    slots.set(7, "second")

    assert read_slots(path) == frozenset({"first", "second"})
    slots.remove()


def test_a_slot_tells_of_its_latest_task_only(path: Path) -> None:
    slots = SlotFile(path)
    slots.set(0, "a-task-with-a-long-id")

    slots.set(0, "short")

    assert read_slots(path) == frozenset({"short"})
    slots.remove()


def test_an_empty_id_says_that_a_slot_runs_nothing(path: Path) -> None:
    slots = SlotFile(path)
    slots.set(0, "first")

    slots.set(0, "")

    assert read_slots(path) == frozenset()
    slots.remove()


def test_the_slots_outlive_a_process_that_is_killed(path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        SlotFile(path).set(3, "under-it")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert read_slots(path) == frozenset({"under-it"})


def test_the_slots_are_gone_when_a_worker_leaves_in_order(path: Path) -> None:
    SlotFile(path).remove()

    assert not path.exists()
    assert read_slots(path) is None


def test_a_worker_that_was_told_to_end_blames_nobody(path: Path) -> None:
    slots = SlotFile(path)
    slots.set(0, "cut-off")

    slots.empty()

    assert read_slots(path) == frozenset()


def test_the_slots_can_be_removed_when_the_file_is_gone_already(path: Path) -> None:
    slots = SlotFile(path)
    path.unlink()

    slots.remove()

    assert read_slots(path) is None


def test_a_slot_beyond_the_last_one_is_not_kept(path: Path) -> None:
    slots = SlotFile(path)

    slots.set(16384, "beyond")
    slots.set(-1, "before")

    assert read_slots(path) == frozenset()
    slots.remove()


def test_an_id_longer_than_a_slot_is_cut_and_leaves_its_neighbour_alone(path: Path) -> None:
    slots = SlotFile(path)
    slots.set(1, "neighbour")

    slots.set(0, "x" * 400)

    assert read_slots(path) == frozenset({"x" * 255, "neighbour"})
    slots.remove()


def test_the_file_of_the_slots_is_for_its_owner_only(path: Path) -> None:
    slots = SlotFile(path)

    assert path.stat().st_mode & 0o077 == 0
    slots.remove()


def test_a_worker_whose_folder_was_deleted_can_leave_without_a_word(path: Path) -> None:
    slots = SlotFile(path)
    path.unlink()
    path.parent.rmdir()

    slots.empty()

    assert read_slots(path) is None
