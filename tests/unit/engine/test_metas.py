from __future__ import annotations

from typing import Any

from celeriac.core.task import TaskId
from celeriac.engine.metas import HeardMeta


def test_what_somebody_holds_of_a_heard_meta_stays_when_more_is_read() -> None:
    heard = {"task_id": "t1", "status": "SUCCESS", "result": [1], "traceback": None, "children": []}

    def read(_: TaskId) -> dict[str, Any]:
        # Another thread was quicker.
        meta.setdefault("args", quicker)
        return heard | {"result": [1], "args": [], "name": "add"}

    quicker: list[int] = []
    meta = HeardMeta(heard, read)
    held = meta["result"]

    assert meta["args"] is quicker
    assert meta["name"] == "add"
    assert meta["result"] is held
