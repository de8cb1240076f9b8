"""What of Flower is for whom: a pure function of a method and a path.

Everything that is not named here is not passed on. Flower knows no owners, so whoever does not see
everybody's tasks gets the workers, the queues and what is theirs; and only who may operate changes
anything. A path is judged as it came, undecoded, since that is how Flower reads it.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from urllib.parse import unquote

from celeriac.web.refusals import FlowerRefusedError

# What is asked for, below /flower.
LIST = "/tasks/datatable"
_TASK = re.compile(r"/task/([^/]+)")
_EVERYBODY = re.compile(r"/|/(?:workers|tasks|broker|healthcheck)|/static/(?!.*\.\.)[\w./-]+")
_OPERATORS_READ = re.compile(
    r"/(?:metrics|worker/.+|api/(?:workers|tasks|task/types|queues/length|task/(?:info|result)/.+))"
)
_OPERATORS_DO = re.compile(
    r"/api/(?:worker/(?:shutdown|pool/(?:restart|grow|shrink|autoscale)"
    r"|queue/(?:add-consumer|cancel-consumer))|task/(?:revoke|abort|timeout|rate-limit))/.+"
)
_SUBMITS = re.compile(r"/api/task/(?:apply|async-apply|send-task)/.+")
_NOT_CHANGING = ("GET", "HEAD")


class Way(Enum):
    """How a request goes on to Flower."""

    # As it is.
    AS_IT_IS = auto()
    # If the task is one that the caller sees.
    IF_SEEN = auto()
    # With an answer that holds the caller's tasks alone.
    ONLY_SEEN = auto()
    # Nowhere: there is nothing at this path.
    NOWHERE = auto()


def way_of(method: str, path: str, *, asks_workers: bool, may_operate: bool) -> Way:
    """Return how a request goes on to Flower.

    Args:
        method: The request's.
        path: What stands after `/flower` in the request's path, undecoded.
        asks_workers: The query has Flower ask every worker anew (`refresh`).
        may_operate: The caller sees and steers everybody's tasks.

    Raises:
        FlowerRefusedError: It is not for this caller, or for nobody.
    """
    if _SUBMITS.fullmatch(path):
        raise FlowerRefusedError(
            "Flower submits no tasks here", fix="POST /tasks/NAME checks the arguments and submits"
        )
    is_list = path == LIST and method in (*_NOT_CHANGING, "POST")
    if may_operate:
        return _operators_way(method, path, is_list=is_list)
    if is_list:
        return Way.ONLY_SEEN
    if method not in _NOT_CHANGING:
        raise FlowerRefusedError("only operators change anything in Flower")
    if _OPERATORS_READ.fullmatch(path) or _OPERATORS_DO.fullmatch(path) or asks_workers:
        raise FlowerRefusedError("only operators see this part of Flower: it tells of every task")
    if _TASK.fullmatch(path):
        return Way.IF_SEEN
    return Way.AS_IT_IS if _EVERYBODY.fullmatch(path) else Way.NOWHERE


def task_of(path: str) -> str:
    """Return the id of the task whose page is asked for."""
    found = _TASK.fullmatch(path)
    return unquote(found[1]) if found else ""


def changes(method: str) -> bool:
    """Return whether a request may change something, so that it must come from our own pages."""
    return method not in _NOT_CHANGING


def _operators_way(method: str, path: str, *, is_list: bool) -> Way:
    if method in _NOT_CHANGING:
        pages = (_EVERYBODY, _TASK, _OPERATORS_READ)
        is_known = is_list or any(page.fullmatch(path) for page in pages)
    elif method == "POST":
        is_known = is_list or _OPERATORS_DO.fullmatch(path) is not None
    else:
        is_known = False
    return Way.AS_IT_IS if is_known else Way.NOWHERE
