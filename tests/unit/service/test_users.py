from __future__ import annotations

import pytest

from celeriac.core.user import Role
from celeriac.errors import (
    InvalidOptionError,
    UserExistsError,
    UserNotFoundError,
    WeakPasswordError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.passwords import Hasher
from celeriac.service.users import UserService

GOOD = "four walnut umbrellas dancing"


@pytest.fixture
def users(ledger: Ledger, hasher: Hasher) -> UserService:
    return UserService(ledger, hasher)


def test_an_added_user_is_kept_without_the_password(
    users: UserService, ledger: Ledger, hasher: Hasher
) -> None:
    users.add_user("ada", GOOD, role=Role.OPERATOR)

    kept = ledger.users.find("ada")
    assert kept is not None
    assert (kept.role, kept.token_version, kept.is_disabled) == (Role.OPERATOR, 1, False)
    assert GOOD not in kept.password_hash
    assert hasher.verify(GOOD, kept.password_hash)


def test_a_user_submits_unless_another_role_is_given(users: UserService) -> None:
    assert users.add_user("ada", GOOD).role is Role.SUBMITTER


@pytest.mark.parametrize(
    "name", ["", " ada", "a b", "a/b", "-ada", "ada\n", "ada\0", "x" * 65, "Ädä", "a:b"]
)
def test_a_name_that_cannot_be_a_users_is_refused(users: UserService, name: str) -> None:
    with pytest.raises(InvalidOptionError):
        users.add_user(name, GOOD)


@pytest.mark.parametrize("name", ["a", "user1", "ada.l+test@example.org", "A" * 64, "7"])
def test_a_plain_name_is_taken(users: UserService, name: str) -> None:
    assert users.add_user(name, GOOD).name == name


def test_a_taken_name_is_refused_and_its_password_stays(
    users: UserService, ledger: Ledger, hasher: Hasher
) -> None:
    users.add_user("ada", GOOD)

    with pytest.raises(UserExistsError):
        users.add_user("ada", "another good password")

    kept = ledger.users.find("ada")
    assert kept is not None
    assert hasher.verify(GOOD, kept.password_hash)


def test_a_weak_password_is_refused_unless_it_is_allowed(
    users: UserService, ledger: Ledger
) -> None:
    with pytest.raises(WeakPasswordError, match="shorter than 12"):
        users.add_user("user1", "password1")
    assert ledger.users.find("user1") is None

    users.add_user("user1", "password1", allow_weak=True)

    assert ledger.users.find("user1") is not None


def test_no_password_at_all_is_never_allowed(users: UserService) -> None:
    with pytest.raises(WeakPasswordError):
        users.add_user("ada", "", allow_weak=True)


def test_another_password_ends_every_session(
    users: UserService, ledger: Ledger, hasher: Hasher
) -> None:
    users.add_user("ada", GOOD)

    users.set_password("ada", "five copper kettles singing")

    kept = ledger.users.find("ada")
    assert kept is not None
    assert kept.token_version == 2
    assert hasher.verify("five copper kettles singing", kept.password_hash)


def test_nobodys_password_cannot_be_changed(users: UserService) -> None:
    with pytest.raises(UserNotFoundError):
        users.set_password("nobody", GOOD)
