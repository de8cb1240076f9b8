"""A user of the service and what may be done: single rights, and a ladder of roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """One right."""

    # See task types, and tasks as far as they are one's own.
    READ = "read"
    # Submit tasks, and cancel one's own.
    SUBMIT = "submit"
    # See and steer everybody's tasks.
    OPERATE = "operate"
    # Manage users and keys.
    ADMIN = "admin"


class Role(StrEnum):
    """What a user may do; each role may all that the ones before it may."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone who may sign in."""

    name: str
    role: Role
    # As argon2 writes it, parameters and salt included; never in a log's repr.
    password_hash: str = field(repr=False)
    # Tokens that name a lower number are no longer good.
    token_version: int
    is_disabled: bool
    created_at: datetime
