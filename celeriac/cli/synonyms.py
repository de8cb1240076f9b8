"""Words that other programs have for what our commands do."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.core.nearest import nearest

# For each word what it may mean, the likeliest first: the first that a group has is meant.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("show", "info", "view", "inspect", "read", "status"), ("get", "list")),
    "describe": ("describe", "get", "list"),
    **dict.fromkeys(("ls", "all"), ("list", "tasks")),
    **dict.fromkeys(("ps", "jobs", "job"), ("list", "tasks")),
    **dict.fromkeys(("stop", "kill", "abort", "revoke"), ("cancel", "pause", "revoke", "tasks")),
    **dict.fromkeys(("rm", "remove", "delete", "del"), ("cancel", "revoke", "disable")),
    **dict.fromkeys(("rerun", "replay", "again", "repeat"), ("retry", "tasks")),
    **dict.fromkeys(("add", "create", "new", "make"), ("add", "create", "submit")),
    **dict.fromkeys(("unpause", "continue"), ("resume",)),
    **dict.fromkeys(("password", "passwd"), ("set-password", "user")),
    **dict.fromkeys(("run", "start", "serve"), ("up",)),
    **dict.fromkeys(("send", "enqueue", "call", "apply"), ("submit",)),
    **dict.fromkeys(("check", "health", "diagnose"), ("doctor",)),
    **dict.fromkeys(("types", "functions", "registered"), ("task-types",)),
    **dict.fromkeys(("queue", "topics"), ("queues",)),
    **dict.fromkeys(("accounts", "login"), ("user",)),
    **dict.fromkeys(("apikey", "token", "tokens"), ("key",)),
}


def meant_by(word: str, commands: Sequence[str]) -> tuple[str, ...]:
    """Return the commands of a group that a word may mean which is none of them."""
    for each in _SYNONYMS.get(word.casefold(), ()):
        if each in commands:
            return (each,)
    return nearest(word, commands)
