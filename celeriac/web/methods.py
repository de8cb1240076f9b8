"""Which methods a path takes, for the answer to one it does not take."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import compile_path

TASKS = "/tasks/"


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that the path of a request takes, sorted.

    `/tasks/NAME` and `/tasks/ID` look the same and are not: a name is submitted to, an id is read.
    """
    path = request.url.path
    name = path.removeprefix(TASKS)
    if name != path and "/" not in name:
        return ["POST"] if request.app.state.parts.task_types.has(name) else ["GET"]
    found: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            found |= {method.upper() for method in operations}
    # Pages stand in no document; the two that take one method are looked at.
    return sorted(found) or ["GET"]
