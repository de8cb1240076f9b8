"""What the FastAPI contenders have in common: a checked body and a checked token."""

from __future__ import annotations

from typing import Annotated, Any

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

SECRET = "a-key-for-the-benchmark-and-nothing-else"  # noqa: S105 - guards nothing


class Wish(BaseModel):
    """What a task shall work on."""

    data: str


def signed_in(
    given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> dict[str, Any]:
    """Return what a good token says."""
    try:
        return jwt.decode(given.credentials, SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


SignedIn = Annotated[dict[str, Any], Depends(signed_in)]
