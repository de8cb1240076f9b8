"""Templates into answers, and the files beside them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from celeriac.web.dashboard.texts import as_on_a_page, breakable, with_code
from celeriac.web.dashboard.visits import Visit
from celeriac.web.parts import parts_of
from celeriac.wording import command_word

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Nothing comes from elsewhere, nothing is run or styled that stands in the page itself.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_YEAR_SECONDS = 31_536_000
# Stands on nothing that could have failed before it.
_FAILURE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>This failed · Celeriac</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/ui/static/celeriac.css"></head>
<body><header class="top"><div class="top-inner">
<a class="brand" href="/ui">Celeriac</a></div></header>
<main id="main" class="narrow"><h1>This failed</h1>
<div class="card stack"><p>The fault is ours, and it was logged.</p>
<p class="faint">Try it again. If it stays, whoever runs this service finds the reason in its
log.</p>
<p><a class="button" href="/ui">To your tasks</a></p></div></main></body>
</html>
"""


def render(
    request: Request,
    visit: Visit,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **shown: Any,
) -> Response:
    """Return a page.

    Args:
        request: What it answers.
        visit: Whose page it is.
        template: The name of its template.
        status: Its HTTP status.
        headers: More headers.
        **shown: What the template shows.
    """
    text = (
        environment()
        .get_template(template)
        .render(
            visit=visit,
            path=request.url.path,
            has_flower=parts_of(request).flower is not None,
            # No filter on a constant: what that gives is compiled in, and kept on the disk.
            command=command_word(),
            **shown,
        )
    )
    response = HTMLResponse(text, status, {"Content-Security-Policy": _POLICY, **(headers or {})})
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    visit.keep(response)
    return response


def failure_page() -> Response:
    """Return the answer to a failure of ours, which tells nothing about it."""
    return HTMLResponse(_FAILURE, 500, {"Content-Security-Policy": _POLICY})


def warm_up() -> None:
    """Compile every template, so that the first pages do not wait for it."""
    for name in environment().list_templates():
        environment().get_template(name)


@cache
def environment() -> Environment:
    """Return the templates, compiled once."""
    # Takes a tenth of a second, for which the start of the service shall not wait.
    from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

    # Beside what Python has compiled, and as that: what changed is compiled again. Without a place
    # for it each start compiles all of them, for a third of a second.
    compiled = _FOLDER / "__pycache__"
    is_kept = not sys.dont_write_bytecode and os.access(compiled, os.W_OK)
    found = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        bytecode_cache=FileSystemBytecodeCache(str(compiled)) if is_kept else None,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["asset"] = asset_url
    found.filters.update(breakable=breakable, with_code=with_code, as_on_a_page=as_on_a_page)
    return found


def asset_url(name: str) -> str:
    """Return the URL of a file, which changes with the file."""
    return f"/ui/static/{name}?v={_assets()[name][1]}"


def asset_response(name: str) -> Response | None:
    """Return a file as an answer, None when there is none of this name."""
    if name not in _assets():
        return None
    body, _ = _assets()[name]
    # Its URL changes with it, so that nobody need ask again.
    headers = {"Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable"}
    return Response(body, headers=headers, media_type=_MEDIA_TYPES[Path(name).suffix])


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    found = {}
    for path in (_FOLDER / "static").iterdir():
        body = path.read_bytes()
        found[path.name] = (body, hashlib.sha256(body).hexdigest()[:12])
    return found
