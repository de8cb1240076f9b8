"""What a doorbell is as a message: Celery's protocol 2 without arguments.

Its content type is one that only Celeriac reads, so that a stock worker on the same queue refuses
it instead of running a task without its arguments.
"""

from __future__ import annotations

from typing import Any

from kombu.serialization import register

CONTENT_TYPE = "application/x-celeriac"
EMPTY_BODY = "[[],{},{}]"


def register_content_type() -> None:
    """Teach kombu the content type of a doorbell."""
    register(
        "celeriac",
        lambda _: EMPTY_BODY,
        _decode,
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
    )


def _decode(_: Any) -> list[Any]:
    # Whatever a forged doorbell carries: the arguments come from the ledger.
    return [[], {}, {}]


def headers_of(task_id: str, name: str, *, origin: str) -> dict[str, Any]:
    """Return the headers of Celery's protocol 2, as far as a doorbell has anything to say.

    What the ledger knows (limits, times, the place in a canvas) is said to be not there.
    """
    return {
        "lang": "py",
        "task": name,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": origin,
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
