from __future__ import annotations

from typing import NoReturn

import pytest

from celeriac.core.user import Role, User
from celeriac.errors import PasswordLinkNotFoundError, UserNotFoundError, WeakPasswordError
from celeriac.ledger.open import Ledger
from celeriac.service.password_links import PasswordLinks, is_password_link
from celeriac.service.passwords import Hasher
from celeriac.service.start_links import StartLinks
from celeriac.service.users import UserService
from tests.fakes import Clock


@pytest.fixture
def links(ledger: Ledger, clock: Clock) -> PasswordLinks:
    ledger.users.add("ana", "hash", Role.OPERATOR)
    return PasswordLinks(ledger, now=clock)


@pytest.fixture
def secret(links: PasswordLinks) -> str:
    return links.make("ana")


def refuse(_: User) -> NoReturn:
    raise WeakPasswordError("too short")


def accept(_: User) -> None:
    """Set no password."""


def test_a_link_lets_its_user_choose_a_password(
    ledger: Ledger, links: PasswordLinks, secret: str
) -> None:
    assert links.check(secret) == "ana"

    user = links.spend(secret, lambda ana: ledger.users.set_password(ana.name, "another"))

    assert (user.name, user.password_hash) == ("ana", "another")
    # As it is now: a session of the user as they were before would be over at once.
    assert user == ledger.users.find("ana")


def test_a_link_is_good_once(links: PasswordLinks, secret: str) -> None:
    links.spend(secret, accept)

    with pytest.raises(PasswordLinkNotFoundError):
        links.check(secret)
    with pytest.raises(PasswordLinkNotFoundError):
        links.spend(secret, accept)


def test_of_two_who_come_at_once_one_chooses(links: PasswordLinks, secret: str) -> None:
    chosen: list[User] = []

    def choose_while_another_tries(user: User) -> None:
        with pytest.raises(PasswordLinkNotFoundError):
            links.spend(secret, chosen.append)
        chosen.append(user)

    links.spend(secret, choose_while_another_tries)

    assert [user.name for user in chosen] == ["ana"]


def test_a_link_stays_good_when_its_password_was_refused(links: PasswordLinks, secret: str) -> None:
    with pytest.raises(WeakPasswordError):
        links.spend(secret, refuse)

    assert links.spend(secret, accept).name == "ana"


def test_a_link_is_good_for_a_day(links: PasswordLinks, secret: str, clock: Clock) -> None:
    clock.advance(hours=23, minutes=59)
    links.check(secret)

    clock.advance(minutes=1)

    with pytest.raises(PasswordLinkNotFoundError):
        links.check(secret)


def test_a_newer_link_makes_the_older_one_void_and_no_one_elses(
    ledger: Ledger, links: PasswordLinks, secret: str
) -> None:
    ledger.users.add("ben", "hash", Role.VIEWER)
    bens = links.make("ben")

    newer = links.make("ana")

    with pytest.raises(PasswordLinkNotFoundError):
        links.check(secret)
    assert (links.check(newer), links.check(bens)) == ("ana", "ben")


def test_a_user_who_is_let_in_no_more_has_no_good_link(
    ledger: Ledger, links: PasswordLinks, secret: str
) -> None:
    ledger.users.disable("ana")

    with pytest.raises(PasswordLinkNotFoundError):
        links.spend(secret, accept)
    with pytest.raises(UserNotFoundError):
        links.make("ana")


def test_nobody_gets_a_link_for_a_user_who_is_not_there(links: PasswordLinks) -> None:
    with pytest.raises(UserNotFoundError):
        links.make("nobody")


def test_another_password_makes_a_link_void(
    ledger: Ledger, links: PasswordLinks, secret: str
) -> None:
    ledger.users.set_password("ana", "another")

    with pytest.raises(PasswordLinkNotFoundError):
        links.spend(secret, accept)


def test_a_password_that_an_admin_sets_while_a_link_is_spent_stays(
    ledger: Ledger, links: PasswordLinks, hasher: Hasher, secret: str
) -> None:
    users = UserService(ledger, hasher)

    def choose_late(user: User) -> None:
        ledger.users.set_password("ana", "the admin's")
        users.choose_password(user, "four walnut umbrellas dancing")

    with pytest.raises(PasswordLinkNotFoundError):
        links.spend(secret, choose_late)

    ana = ledger.users.find("ana")
    assert ana is not None
    assert (ana.password_hash, ana.token_version) == ("the admin's", 2)


def test_a_link_stays_good_when_its_user_signs_out(
    ledger: Ledger, links: PasswordLinks, secret: str
) -> None:
    ledger.users.sign_out("ana")

    assert links.check(secret) == "ana"


def test_a_newer_link_outlives_an_older_one_whose_password_is_refused(
    links: PasswordLinks, secret: str
) -> None:
    newer: list[str] = []

    def refuse_late(user: User) -> NoReturn:
        newer.append(links.make(user.name))
        refuse(user)

    with pytest.raises(WeakPasswordError):
        links.spend(secret, refuse_late)

    assert links.check(newer[0]) == "ana"
    with pytest.raises(PasswordLinkNotFoundError):
        links.check(secret)


@pytest.mark.parametrize(
    "guess",
    ["", "user.", "user.guess", "\ud800", "user.YW5h", "user.YW5h.", "user.\ud800.x", "user.AA.x"],
)
def test_a_guess_is_no_link(links: PasswordLinks, secret: str, guess: str) -> None:
    with pytest.raises(PasswordLinkNotFoundError):
        links.check(guess)


def test_it_is_not_taken_for_the_first_admins(ledger: Ledger, clock: Clock, secret: str) -> None:
    first = StartLinks(ledger, now=clock).make()

    assert is_password_link(secret)
    assert first is not None
    assert not is_password_link(first)


def test_the_ledger_does_not_have_the_secret(ledger: Ledger, secret: str) -> None:
    kept = ledger._database.read(
        lambda connection: connection.exec_driver_sql("SELECT name, value FROM settings").fetchall()
    )

    assert "password_link" in str(kept)
    assert secret.rpartition(".")[2] not in str(kept)
