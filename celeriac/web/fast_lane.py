"""The shortest way to the routes that are asked the most.

FastAPI describes them like all others and would also serve them. But its middleware, its search for
a route and its two ways of catching errors take longer than everything that is done to accept a
task, so these requests are known by their path and go straight to their endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from celeriac.web.problems import answer_to
from celeriac.web.shell import Shell


class LaneRequest(Request):
    """A request whose headers are looked up by their names."""

    # In place of Starlette's, which makes it when it is asked for.
    headers: Headers = Headers()

    def __init__(self, scope: Scope, *ways: Any) -> None:
        super().__init__(scope, *ways)
        self.headers = _Headers(scope["headers"])


class _Headers(Headers):
    """Starlette's own go through all of them, for each that is asked for."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._values: dict[str, list[str]] = {}
        for name, value in raw:
            self._values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def __getitem__(self, key: str) -> str:
        return self._values[key.lower()][0]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._values

    def get(self, key: str, default: Any = None) -> Any:
        values = self._values.get(key.lower())
        return default if values is None else values[0]

    def getlist(self, key: str) -> list[str]:
        return self._values.get(key.lower(), [])


Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

_PARAMETER = "{task_id}"


class FastLane(FastAPI):
    """An app that takes some of its own routes past everything that stands before them."""

    def __init__(self, lane: Mapping[str, Endpoint], **options: Any) -> None:
        """Make the app.

        Args:
            lane: The endpoint of each path that is POSTed to; a last step of a path that is
                `{task_id}` is any one.
            **options: As FastAPI takes them.
        """
        super().__init__(**options)
        self._exact = {path: end for path, end in lane.items() if not path.endswith(_PARAMETER)}
        self._below = [
            (path.removesuffix(_PARAMETER), end)
            for path, end in lane.items()
            if path.endswith(_PARAMETER)
        ]
        self._lane = Shell(self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            endpoint = self._find(scope)
            if endpoint is not None:
                scope["app"] = self
                scope["celeriac.endpoint"] = endpoint
                await self._lane(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _find(self, scope: Scope) -> Endpoint | None:
        path: str = scope["path"]
        endpoint = self._exact.get(path)
        if endpoint is not None:
            scope["path_params"] = {}
            return endpoint
        for prefix, below in self._below:
            last = path[len(prefix) :]
            if last and "/" not in last and path.startswith(prefix):
                scope["path_params"] = {"task_id": last}
                return below
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = LaneRequest(scope, receive, send)
        response: Response
        try:
            response = await scope["celeriac.endpoint"](request)
        except Exception as error:
            told = await answer_to(request, error)
            if told is None:
                raise
            response = told
        await response(scope, receive, send)
