from __future__ import annotations

import logging

import pytest

from celeriac.core.user import Role
from celeriac.errors import NotAuthenticatedError
from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.callers import Caller
from celeriac.service.passwords import Hasher
from celeriac.service.tokens import Tokens
from celeriac.service.users import UserService
from tests.fakes import Clock, make_user

GOOD = "four walnut umbrellas dancing"


@pytest.fixture(autouse=True)
def _ada(ledger: Ledger, hasher: Hasher) -> None:
    UserService(ledger, hasher).add_user("ada", GOOD, role=Role.OPERATOR)


def caller_of(access: AccessService, token: str) -> Caller:
    return access.admit(access.read_token(token))


def test_a_name_and_its_password_become_a_caller(access: AccessService) -> None:
    token = access.sign_in("ada", GOOD)

    caller = caller_of(access, token.text)
    assert caller.name == "ada"
    assert caller.sees_all


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "a wrong guess at it"),
        ("Ada", GOOD),
        ("nobody", GOOD),
        ("ada\0", GOOD),
        ("ada\r\nset-cookie: x", GOOD),
        ("x" * 100_000, GOOD),
        ("", ""),
    ],
)
def test_all_wrong_sign_ins_are_refused_in_the_same_words(
    access: AccessService, name: str, password: str
) -> None:
    with pytest.raises(NotAuthenticatedError) as caught:
        access.sign_in(name, password)

    assert str(caught.value) == "the user name or the password is wrong"


def test_a_disabled_user_neither_signs_in_nor_keeps_a_session(
    access: AccessService, ledger: Ledger
) -> None:
    token = access.sign_in("ada", GOOD)

    ledger.users.disable("ada")

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, token.text)
    with pytest.raises(NotAuthenticatedError):
        access.sign_in("ada", GOOD)


def test_a_changed_password_ends_the_session(
    access: AccessService, ledger: Ledger, hasher: Hasher
) -> None:
    token = access.sign_in("ada", GOOD)
    caller_of(access, token.text)

    UserService(ledger, hasher).set_password("ada", "five copper kettles singing")

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, token.text)


def test_a_role_that_was_taken_away_is_gone_at_once(access: AccessService, ledger: Ledger) -> None:
    token = access.sign_in("ada", GOOD)

    ledger.users.set_role("ada", Role.VIEWER)

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, token.text)
    assert not caller_of(access, access.sign_in("ada", GOOD).text).sees_all


def test_a_token_of_someone_who_is_gone_lets_nobody_in(
    access: AccessService, tokens: Tokens
) -> None:
    token = tokens.issue(make_user(name="gone"))

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, token.text)


def test_signing_in_renews_a_hash_of_other_times_and_keeps_the_session(
    access: AccessService, ledger: Ledger, tokens: Tokens, clock: Clock
) -> None:
    stronger = AccessService(ledger, Hasher(memory_kib=128, passes=1), tokens, now=clock)
    before = access.sign_in("ada", GOOD)

    stronger.sign_in("ada", GOOD)

    kept = ledger.users.find("ada")
    assert kept is not None
    assert "m=128" in kept.password_hash
    assert caller_of(stronger, before.text).name == "ada"
    assert stronger.sign_in("ada", GOOD)


def test_signing_in_leaves_a_trace_without_the_password(
    access: AccessService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    access.sign_in("ada", GOOD)
    with pytest.raises(NotAuthenticatedError):
        access.sign_in("ada", "a wrong guess at it")

    traces = [
        (record.levelname, record.__dict__["user"])
        for record in caplog.records
        if record.name == "celeriac.service.access"
    ]
    assert traces == [("INFO", "ada"), ("WARNING", "ada")]
    assert GOOD not in caplog.text
    assert "wrong guess" not in caplog.text


def test_signing_out_ends_every_session_and_token(access: AccessService) -> None:
    token = access.sign_in("ada", GOOD)

    access.sign_out("ada")

    with pytest.raises(NotAuthenticatedError):
        caller_of(access, token.text)


def test_requests_are_counted_by_the_user_or_by_the_key(access: AccessService) -> None:
    access.warm_up()
    user = access.read_token(access.sign_in("ada", GOOD).text)
    key = access.read_token("ck_" + "x" * 43)

    assert user.counted_as == "ada"
    assert key.counted_as.startswith("key ")
    assert "x" * 20 not in key.counted_as
