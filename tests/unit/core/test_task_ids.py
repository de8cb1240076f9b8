from __future__ import annotations

import os
import time
import uuid

from celeriac.core.task_ids import new_task_id


def test_ids_are_uuids_and_never_come_twice() -> None:
    ids = [new_task_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert {uuid.UUID(each).version for each in ids} == {7}
    assert all(str(uuid.UUID(each)) == each for each in ids)


def test_ids_of_a_later_time_come_later() -> None:
    first = new_task_id()
    time.sleep(0.002)

    assert new_task_id() > first


def test_a_forked_child_makes_others_than_its_parent() -> None:
    new_task_id()
    read, write = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(write, new_task_id().encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 100).decode() != new_task_id()
    os.close(read)
    os.close(write)
