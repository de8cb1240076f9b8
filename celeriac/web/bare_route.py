"""A route that FastAPI describes and otherwise leaves alone: for those that are asked the most.

FastAPI's own way to an endpoint takes longer than all the rest of accepting a task. Such an
endpoint takes the request and returns the response; what it reads stands in a dependency that is
there for the document alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class BareRoute(APIRoute):
    """A route whose endpoint gets the request as it is."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
