"""Who asks, and what they may: roles become rights here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

from celeriac.core.api_key import ApiKey
from celeriac.core.task import Task
from celeriac.core.user import Role, User
from celeriac.core.user import Scope as Scope
from celeriac.errors import NotPermittedError

# A ladder: whoever is moved down never sees more than before. So a viewer sees no stranger's
# task either; that begins with the operator.
SCOPES: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.SUBMITTER: frozenset({Scope.READ, Scope.SUBMIT}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.SUBMIT, Scope.OPERATE}),
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Someone who proved who they are, for the length of one request."""

    name: str
    scopes: frozenset[Scope]
    # The task names there are for this caller, as patterns; empty is all of them.
    task_patterns: tuple[str, ...] = ()
    # The key that was shown; None for somebody who signed in.
    key_id: str | None = None

    @classmethod
    def from_key(cls, user: User, key: ApiKey) -> Self:
        """Return a user's key as one who asks: never with more rights than the user has now."""
        return cls(
            name=user.name,
            scopes=key.scopes & SCOPES[user.role],
            task_patterns=key.task_patterns,
            key_id=key.id,
        )

    @classmethod
    def from_user(cls, user: User) -> Self:
        """Return the user as one who asks."""
        return cls(name=user.name, scopes=SCOPES[user.role])

    @property
    def sees_all(self) -> bool:
        """Whether other people's tasks exist for this caller."""
        return Scope.OPERATE in self.scopes

    def sees(self, task: Task) -> bool:
        """Whether a task exists for this caller."""
        return self.knows(task.name) and (self.sees_all or task.submitted_by == self.name)

    def knows(self, task_name: str) -> bool:
        """Whether tasks of this name exist for this caller."""
        patterns = self.task_patterns
        return not patterns or any(fnmatchcase(task_name, each) for each in patterns)

    def require(self, scope: Scope) -> None:
        """Return if the caller has a right.

        Raises:
            NotPermittedError: It has not.
        """
        if scope not in self.scopes:
            raise NotPermittedError(scope.value)
