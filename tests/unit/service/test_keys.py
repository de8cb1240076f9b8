from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from celeriac.core.user import Role, Scope
from celeriac.errors import (
    InvalidOptionError,
    KeyNotFoundError,
    LedgerUnavailableError,
    NotAuthenticatedError,
    NotPermittedError,
    UserNotFoundError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.callers import Caller
from celeriac.service.keys import KeyRequest, KeyService
from celeriac.service.passwords import Hasher
from celeriac.service.users import UserService
from tests.fakes import NOON, Clock, make_task

PASSWORD = "four walnut umbrellas dancing"


@pytest.fixture
def keys(ledger: Ledger, hasher: Hasher, clock: Clock) -> KeyService:
    UserService(ledger, hasher).add_user("ada", PASSWORD, role=Role.OPERATOR)
    return KeyService(ledger, now=clock)


def request(**changes: Any) -> KeyRequest:
    wish = KeyRequest(user="ada", label="ci", scopes=frozenset({Scope.SUBMIT, Scope.READ}))
    return replace(wish, **changes)


def caller_of(access: AccessService, text: str) -> Caller:
    return access.admit(access.read_token(text))


def test_a_key_acts_in_its_users_name_with_its_own_rights(
    keys: KeyService, access: AccessService
) -> None:
    made = keys.create_key(request(task_patterns=("image.*",)))

    caller = caller_of(access, made.text)

    assert made.text.startswith("ck_")
    assert len(made.text) >= 40
    assert (caller.name, caller.key_id) == ("ada", made.key.id)
    assert caller.scopes == {Scope.SUBMIT, Scope.READ}
    assert caller.knows("image.thumbnail")
    assert not caller.knows("text.image.x")
    assert not caller.sees(make_task(name="process", submitted_by="ada"))


def test_a_key_never_may_more_than_its_user(
    keys: KeyService, access: AccessService, ledger: Ledger
) -> None:
    made = keys.create_key(request(scopes=frozenset(Scope)))
    assert Scope.ADMIN not in caller_of(access, made.text).scopes

    ledger.users.set_role("ada", Role.VIEWER)

    assert caller_of(access, made.text).scopes == {Scope.READ}


def test_the_text_of_a_key_is_kept_nowhere(keys: KeyService, ledger: Ledger) -> None:
    made = keys.create_key(request())

    assert made.text not in repr(made)
    (kept,) = ledger.keys.list("ada")
    assert kept == made.key
    assert made.text.startswith(kept.prefix)
    assert len(kept.prefix) < 12


def test_a_revoked_key_lets_nobody_in(keys: KeyService, access: AccessService) -> None:
    made = keys.create_key(request())
    other = keys.create_key(request(label="other"))

    revoked = keys.revoke_key(made.key.prefix, user="ada")

    assert (revoked.id, revoked.revoked_at) == (made.key.id, NOON)
    with pytest.raises(NotAuthenticatedError):
        caller_of(access, made.text)
    assert caller_of(access, other.text).name == "ada"


def test_an_expired_key_lets_nobody_in(
    keys: KeyService, access: AccessService, clock: Clock
) -> None:
    made = keys.create_key(request(lifetime=timedelta(days=90)))
    clock.advance(days=89)
    assert caller_of(access, made.text)

    clock.advance(days=1)

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, made.text)


def test_a_disabled_users_key_lets_nobody_in(
    keys: KeyService, access: AccessService, ledger: Ledger
) -> None:
    made = keys.create_key(request())

    ledger.users.disable("ada")

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, made.text)


@pytest.mark.parametrize("text", ["ck_", "ck_nonsense", "ck_\ud800", "ck_\0"])
def test_what_only_looks_like_a_key_lets_nobody_in(
    keys: KeyService, access: AccessService, text: str
) -> None:
    with pytest.raises(NotAuthenticatedError):
        caller_of(access, text)


def test_the_use_of_a_key_is_noted(keys: KeyService, access: AccessService, clock: Clock) -> None:
    made = keys.create_key(request())
    clock.advance(minutes=5)

    caller_of(access, made.text)

    assert keys.list_keys("ada")[0].last_used_at == clock()


def test_a_ledger_that_takes_no_note_still_lets_in(
    keys: KeyService, access: AccessService, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keys.create_key(request())

    def refuse(_: object) -> None:
        raise LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(ledger.keys, "note_use", refuse)

    assert caller_of(access, made.text).name == "ada"


def test_nobody_revokes_what_is_not_theirs(keys: KeyService) -> None:
    made = keys.create_key(request())

    with pytest.raises(KeyNotFoundError):
        keys.revoke_key(made.key.id, user="bob")
    with pytest.raises(KeyNotFoundError):
        keys.revoke_key("nothing", user="ada")


def test_a_key_of_nobody_is_not_made(keys: KeyService) -> None:
    with pytest.raises(UserNotFoundError):
        keys.create_key(request(user="bob"))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"label": ""}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"scopes": frozenset()}, "scope"),
        ({"lifetime": timedelta(0)}, "expires"),
        # Brackets mean something else to everybody.
        ({"task_patterns": ("image.[ab]",)}, "task"),
        ({"task_patterns": ("",)}, "task"),
        ({"task_patterns": tuple(f"t{each}" for each in range(21))}, "task"),
    ],
)
def test_a_wish_that_is_out_of_bounds_is_refused(
    keys: KeyService, changes: dict[str, Any], option: str
) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        keys.create_key(request(**changes))

    assert caught.value.option == option


ADA = Caller(name="ada", scopes=frozenset({Scope.SUBMIT, Scope.READ}))


def test_everybody_makes_reads_and_revokes_keys_of_their_own(keys: KeyService) -> None:
    made = keys.create_own_key(request(user="somebody else"), by=ADA)

    assert made.key.user == "ada"
    assert keys.list_own_keys(by=ADA) == (made.key,)
    assert keys.revoke_own_key(made.key.id, by=ADA).revoked_at is not None


def test_nobody_makes_a_key_that_may_more_than_themselves(keys: KeyService) -> None:
    with pytest.raises(NotPermittedError):
        keys.create_own_key(request(scopes=frozenset({Scope.ADMIN})), by=ADA)


def test_a_key_makes_and_revokes_no_other_but_itself(keys: KeyService) -> None:
    own = keys.create_own_key(request(), by=ADA).key
    other = keys.create_own_key(request(), by=ADA).key
    key = replace(ADA, key_id=own.id)

    with pytest.raises(NotPermittedError):
        keys.create_own_key(request(), by=key)
    with pytest.raises(NotPermittedError):
        keys.revoke_own_key(other.id, by=key)
    assert keys.revoke_own_key(own.id, by=key).revoked_at is not None


def test_an_admins_key_for_all_names_makes_others(keys: KeyService) -> None:
    admin = Caller(name="ada", scopes=frozenset(Scope), key_id="k")

    assert keys.create_own_key(request(), by=admin).key.user == "ada"
    with pytest.raises(NotPermittedError):
        keys.create_own_key(request(), by=replace(admin, task_patterns=("image.*",)))
