"""What a request does through Flower, in the words of the audit trail: a pure function."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_ACT = re.compile(r"/api/(worker|task)/((?:(?:pool|queue)/)?[a-z-]+)/(.+)")
# As we call it elsewhere; of the others Flower's own word is kept.
_WORDS = {"task.revoke": "task.cancel"}
# What Flower reads of such a request; whatever else came along is nobody's business.
_FIELDS = {
    *("n", "min", "max", "queue", "terminate", "signal", "workername", "soft", "hard"),
    "ratelimit",
}
_MOST_CHARACTERS = 200
_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act, as the audit trail keeps it."""

    # Such as "worker.shutdown", "worker.pool_grow", "task.cancel".
    action: str
    # A worker's name, a task's id, or a task name.
    subject: str
    facts: dict[str, str]


def act_of(path: str, query: str, body: str) -> Act | None:
    """Return what a request does, None when it changes nothing.

    Args:
        path: What stands after `/flower` in the path of a POST, undecoded.
        query: What stands after its question mark.
        body: Its body, a form.
    """
    found = _ACT.fullmatch(path)
    if found is None:
        return None
    what, act, subject = found.groups()
    word = act.removeprefix("queue/").replace("/", "_").replace("-", "_")
    action = f"{what}.{word}"
    return Act(
        action=_WORDS.get(action, action),
        subject=unquote(subject)[:_MOST_CHARACTERS],
        facts={"via": "flower", **_fields(query), **_fields(body)},
    )


def _fields(text: str) -> dict[str, str]:
    try:
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        # Too many of them: that it was done is worth more than with what.
        return {}
    return {name: value[:_MOST_CHARACTERS] for name, value in found if name in _FIELDS}
