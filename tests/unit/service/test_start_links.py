from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from celeriac.core.user import Role, User
from celeriac.errors import StartLinkNotFoundError, StartLinkUsedError, WeakPasswordError
from celeriac.ledger.open import Ledger
from celeriac.service.start_links import StartLinks
from tests.fakes import Clock


@pytest.fixture
def links(ledger: Ledger, clock: Clock) -> StartLinks:
    return StartLinks(ledger, now=clock)


@pytest.fixture
def secret(links: StartLinks) -> str:
    made = links.make()
    assert made is not None
    return made


def admin_in(ledger: Ledger, name: str = "ada") -> Callable[[], User]:
    return lambda: ledger.users.add(name, "hash", Role.ADMIN)


def test_a_link_makes_the_first_admin(ledger: Ledger, links: StartLinks, secret: str) -> None:
    links.check(secret)

    user = links.spend(secret, admin_in(ledger))

    assert ledger.users.find("ada") == user


def test_a_link_is_good_once(ledger: Ledger, links: StartLinks, secret: str) -> None:
    links.spend(secret, admin_in(ledger))

    with pytest.raises(StartLinkUsedError):
        links.check(secret)
    with pytest.raises(StartLinkUsedError):
        links.spend(secret, admin_in(ledger, "eve"))
    assert [user.name for user in ledger.users.list()] == ["ada"]


def test_of_two_who_come_at_once_one_is_let_in(
    ledger: Ledger, links: StartLinks, secret: str
) -> None:
    def second_comes_meanwhile() -> User:
        with pytest.raises((StartLinkUsedError, StartLinkNotFoundError)):
            links.spend(secret, admin_in(ledger, "eve"))
        return admin_in(ledger)()

    links.spend(secret, second_comes_meanwhile)

    assert [user.name for user in ledger.users.list()] == ["ada"]


class SnatchedSettings:
    """Settings of a ledger out of which somebody else takes the link first."""

    def __init__(self, ledger: Ledger) -> None:
        self.find = ledger.settings.find
        self.put = ledger.settings.put
        self.put_first = ledger.settings.put_first

    def remove_if(self, name: str, value: str) -> bool:
        return False


class SnatchedLedger:
    """A ledger whose link is gone when it is to be taken."""

    def __init__(self, ledger: Ledger) -> None:
        self.settings = SnatchedSettings(ledger)
        self.users = ledger.users


def test_a_link_that_somebody_took_meanwhile_is_used(
    ledger: Ledger, clock: Clock, secret: str
) -> None:
    with pytest.raises(StartLinkUsedError):
        StartLinks(SnatchedLedger(ledger), now=clock).spend(secret, admin_in(ledger))

    assert ledger.users.list() == ()


def test_a_link_stays_good_when_its_password_was_refused(
    ledger: Ledger, links: StartLinks, secret: str
) -> None:
    def refuse() -> NoReturn:
        raise WeakPasswordError("too short")

    with pytest.raises(WeakPasswordError):
        links.spend(secret, refuse)

    assert links.spend(secret, admin_in(ledger)).name == "ada"


def test_a_link_is_good_for_half_an_hour(links: StartLinks, secret: str, clock: Clock) -> None:
    clock.advance(minutes=30)

    with pytest.raises(StartLinkNotFoundError):
        links.check(secret)


def test_a_new_link_makes_the_older_one_void(links: StartLinks, secret: str) -> None:
    newer = links.make()

    with pytest.raises(StartLinkNotFoundError):
        links.check(secret)
    assert newer is not None
    links.check(newer)


def test_no_link_is_made_once_there_is_an_admin(ledger: Ledger, links: StartLinks) -> None:
    admin_in(ledger)()

    assert links.make() is None


def test_a_link_is_used_up_by_an_admin_made_without_it(
    ledger: Ledger, links: StartLinks, secret: str
) -> None:
    admin_in(ledger)()

    with pytest.raises(StartLinkUsedError):
        links.check(secret)


@pytest.mark.parametrize("guess", ["", "guess", "\ud800"])
def test_a_guess_is_no_link(links: StartLinks, secret: str, guess: str) -> None:
    with pytest.raises(StartLinkNotFoundError):
        links.check(guess)


def test_without_any_link_every_guess_is_refused(links: StartLinks) -> None:
    with pytest.raises(StartLinkNotFoundError):
        links.check("guess")


def test_the_ledger_does_not_know_the_secret(ledger: Ledger, secret: str) -> None:
    assert all(secret not in value for value in ledger.settings.list().values())


def test_a_newer_link_outlives_an_older_one_whose_password_is_refused(
    ledger: Ledger, links: StartLinks, secret: str
) -> None:
    made: list[str | None] = []

    def refuse() -> NoReturn:
        made.append(links.make())
        raise WeakPasswordError("too short")

    with pytest.raises(WeakPasswordError):
        links.spend(secret, refuse)

    assert made[0] is not None
    links.check(made[0])
    with pytest.raises(StartLinkNotFoundError):
        links.check(secret)
