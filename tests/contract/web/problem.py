"""What every refusal must be."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx

from celeriac.wording import command_word

# Nothing of what stands behind the API is told to a caller.
_SECRETS = (
    "traceback",
    "sqlalchemy",
    "sqlite",
    "psycopg",
    "pydantic",
    "starlette",
    "fastapi",
    "celery",
    "select ",
    "insert ",
    ".py",
    "db.internal",
)

# RFC 9110's words, which Python has since 3.13.
_TITLES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is one problem, whole and discreet, and return its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == "about:blank"
    assert body["title"] == _TITLES.get(status, HTTPStatus(status).phrase)
    # What and why, and what helps.
    assert body["detail"]
    assert body["fix"]
    assert body["instance"] == response.request.url.raw_path.partition(b"?")[0].decode()
    # How our command line is called here is meant to be told.
    told = response.text.replace(command_word(), "").lower()
    assert not [word for word in _SECRETS if word in told]
    if status in (401, 403):
        assert response.headers["www-authenticate"].startswith("Bearer")
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    """Return which fields a problem names."""
    return [each["pointer"] for each in body["errors"]]
