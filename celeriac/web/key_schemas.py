"""The bodies about keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from celeriac.core.api_key import ApiKey
from celeriac.core.user import Scope
from celeriac.errors import FieldProblem
from celeriac.service.keys import KeyRequest, MadeKey
from celeriac.service.submission import MOST_AHEAD
from celeriac.web.problems import to_pointer
from celeriac.web.refusals import InvalidBodyError

Json = Any

_MOST_SECONDS = MOST_AHEAD.total_seconds()

# As KeyWish reads it; OpenAPI keeps definitions elsewhere than pydantic would.
KEY_WISH: dict[str, Json] = {
    "type": "object",
    "title": "KeyWish",
    "required": ["label", "scopes"],
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string", "minLength": 1, "maxLength": 64},
        "scopes": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": [scope.value for scope in Scope]},
        },
        "task_patterns": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The task names it may have to do with, as image.*; none is all.",
        },
        "expires_in_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": _MOST_SECONDS,
            "description": "How long it is good; always if not given.",
        },
    },
}


class KeyWish(BaseModel):
    """What a key shall be."""

    model_config = ConfigDict(extra="forbid")

    label: Annotated[str, Field(min_length=1, max_length=64)]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    task_patterns: list[str] = []
    expires_in_seconds: Annotated[float | None, Field(gt=0, le=_MOST_SECONDS)] = None


class KeyOut(BaseModel):
    """A key, but for the key itself."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    label: str
    prefix: Annotated[str, Field(description="How the key begins.")]
    scopes: list[Scope]
    task_patterns: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To the hour.")]
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Return a key as its owner reads it."""
        return cls(**_facts(key))


class MadeKeyOut(KeyOut):
    """A new key; the key itself is shown this once."""

    key: str

    @classmethod
    def of_made(cls, made: MadeKey) -> Self:
        """Return a key as it is handed out."""
        return cls(**_facts(made.key), key=made.text)


class KeysOut(BaseModel):
    """Somebody's keys, oldest first."""

    keys: list[KeyOut]


def read_wish(body: dict[str, Json], *, user: str) -> KeyRequest:
    """Return the wish for a key that a body holds.

    Raises:
        InvalidBodyError: It holds something else.
    """
    try:
        wish = KeyWish.model_validate(body)
    except ValidationError as error:
        problems = {
            to_pointer(*(str(step) for step in each["loc"])): each["msg"] for each in error.errors()
        }
        raise InvalidBodyError(
            *(FieldProblem(pointer=pointer, detail=text) for pointer, text in problems.items())
        ) from None
    seconds = wish.expires_in_seconds
    return KeyRequest(
        user=user,
        label=wish.label,
        scopes=frozenset(wish.scopes),
        task_patterns=tuple(wish.task_patterns),
        lifetime=None if seconds is None else timedelta(seconds=seconds),
    )


def _facts(key: ApiKey) -> dict[str, Json]:
    return {
        "id": key.id,
        "label": key.label,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "task_patterns": list(key.task_patterns),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }
