from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from celeriac.core.api_key import ApiKey
from celeriac.core.moments import utc_now
from celeriac.core.user import Role, Scope, User
from celeriac.errors import (
    InvalidOptionError,
    PasswordLinkNotFoundError,
    UserExistsError,
    UserNotFoundError,
)
from celeriac.ledger.open import Ledger
from celeriac.service.password_links import PasswordLinks
from tests.fakes import Clock


def test_a_user_comes_back_as_it_was_added(ledger: Ledger, clock: Clock) -> None:
    added = ledger.users.add("ada", "hash", Role.OPERATOR)

    assert added == User(
        name="ada",
        role=Role.OPERATOR,
        password_hash="hash",
        token_version=1,
        is_disabled=False,
        created_at=clock(),
    )
    assert ledger.users.find("ada") == added
    assert "hash" not in repr(added)


def test_a_name_is_given_once(ledger: Ledger) -> None:
    ledger.users.add("ada", "first", Role.VIEWER)

    with pytest.raises(UserExistsError):
        ledger.users.add("ada", "second", Role.ADMIN)

    found = ledger.users.find("ada")
    assert found is not None
    assert (found.password_hash, found.role) == ("first", Role.VIEWER)


@pytest.mark.parametrize("name", ["nobody", "", "\0", "\ud800"])
def test_an_unknown_user_is_not_found(ledger: Ledger, name: str) -> None:
    assert ledger.users.find(name) is None


@pytest.mark.parametrize("name", ["\0", "\ud800"])
def test_a_name_that_cannot_be_kept_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(InvalidOptionError):
        ledger.users.add(name, "hash", Role.VIEWER)
    with pytest.raises(UserNotFoundError):
        ledger.users.disable(name)


def test_users_are_listed_by_name(ledger: Ledger) -> None:
    for name in ("bob", "Zoë", "ada"):
        ledger.users.add(name, "hash", Role.VIEWER)

    assert [user.name for user in ledger.users.list()] == ["Zoë", "ada", "bob"]


def test_whatever_changes_a_users_rights_ends_the_tokens_given_out(ledger: Ledger) -> None:
    users = ledger.users
    users.add("ada", "hash", Role.VIEWER)
    users.add("bob", "hash", Role.VIEWER)
    changes = [
        lambda: users.set_password("ada", "other"),
        lambda: users.set_role("ada", Role.ADMIN),
        lambda: users.disable("ada"),
        lambda: users.enable("ada"),
        lambda: users.sign_out("ada"),
    ]

    for number, change in enumerate(changes, start=2):
        change()
        found = users.find("ada")
        assert found is not None
        assert found.token_version == number
        assert found.is_disabled == (number == 4)

    ada = users.find("ada")
    assert ada is not None
    assert (ada.password_hash, ada.role) == ("other", Role.ADMIN)
    bob = users.find("bob")
    assert bob is not None
    assert bob.token_version == 1


def test_a_stronger_hash_of_the_same_password_ends_no_token(ledger: Ledger) -> None:
    ledger.users.add("ada", "weak", Role.VIEWER)

    ledger.users.rehash_password("ada", "weak", "strong")
    # Changed meanwhile: what was read is out of date.
    ledger.users.rehash_password("ada", "weak", "late")

    found = ledger.users.find("ada")
    assert found is not None
    assert (found.password_hash, found.token_version) == ("strong", 1)


def test_only_a_known_user_can_be_changed(ledger: Ledger) -> None:
    with pytest.raises(UserNotFoundError):
        ledger.users.set_password("nobody", "hash")
    with pytest.raises(UserNotFoundError):
        ledger.users.disable("nobody")


def make_key(clock: Clock, key_id: str = "k1", user: str = "ada") -> ApiKey:
    return ApiKey(
        id=key_id,
        user=user,
        label="build server",
        prefix="ck_abcde",
        scopes=frozenset({Scope.READ, Scope.SUBMIT}),
        task_patterns=("image.*", "text.*"),
        created_at=clock(),
        expires_at=clock() + timedelta(days=90),
    )


def test_a_key_is_found_by_its_hash(ledger: Ledger, clock: Clock) -> None:
    key = make_key(clock)

    ledger.keys.add(key, "sha256")

    assert ledger.keys.find_by_hash("sha256") == key
    assert ledger.keys.find_by_hash("other") is None
    assert ledger.keys.list("ada") == (key,)
    assert ledger.keys.list("bob") == ()


def test_a_key_is_revoked_once(ledger: Ledger, clock: Clock) -> None:
    ledger.keys.add(make_key(clock), "sha256")
    clock.advance(hours=1)

    assert ledger.keys.revoke("k1")
    assert not ledger.keys.revoke("k1")
    assert not ledger.keys.revoke("nobody")
    found = ledger.keys.find_by_hash("sha256")
    assert found is not None
    assert found.revoked_at == clock()


def test_a_keys_use_is_noted_to_the_hour(ledger: Ledger, clock: Clock) -> None:
    ledger.keys.add(make_key(clock), "sha256")

    def use() -> ApiKey:
        key = ledger.keys.find_by_hash("sha256")
        assert key is not None
        ledger.keys.note_use(key)
        found = ledger.keys.find_by_hash("sha256")
        assert found is not None
        return found

    first = use().last_used_at
    clock.advance(minutes=59)
    same = use().last_used_at
    clock.advance(minutes=2)
    later = use().last_used_at

    assert first == same
    assert later == clock()


def test_it_is_known_whether_somebody_ever_used_a_key(ledger: Ledger, clock: Clock) -> None:
    key = make_key(clock)
    ledger.keys.add(key, "sha256")
    before = ledger.keys.is_any_used(key.user)

    ledger.keys.note_use(key)
    ledger.keys.revoke(key.id)

    assert not before
    assert ledger.keys.is_any_used(key.user)
    assert not ledger.keys.is_any_used("somebody else")


def test_the_audit_trail_is_read_newest_first(ledger: Ledger, clock: Clock) -> None:
    ledger.audit.add("ada", "user.add", "bob", {"role": "viewer"})
    clock.advance(seconds=1)
    ledger.audit.add("bob", "task.cancel", "t\0\ud800")

    newest, oldest = ledger.audit.list()

    assert (newest.actor, newest.action, newest.at) == ("bob", "task.cancel", clock())
    assert (newest.subject, newest.facts) == ("t\ufffd?", {})
    assert (oldest.subject, oldest.facts) == ("bob", {"role": "viewer"})
    assert ledger.audit.list(before=newest.id) == (oldest,)
    assert ledger.audit.list(limit=1) == (newest,)


def test_a_setting_is_kept_until_it_is_removed(ledger: Ledger) -> None:
    settings = ledger.settings

    settings.put("paused", '["q"]', by="ada")
    settings.put("paused", "[]")
    settings.put("other", "1")

    assert settings.find("paused") == "[]"
    assert settings.find("unknown") is None
    assert settings.list() == {"other": "1", "paused": "[]"}
    assert settings.remove("paused")
    assert not settings.remove("paused")
    assert settings.find("paused") is None


def test_a_setting_is_made_by_one_and_taken_away_by_one(ledger: Ledger) -> None:
    settings = ledger.settings
    words = [str(number) for number in range(20)]

    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda word: settings.put_first("key", word), words))
        taken = list(threads.map(lambda _: settings.remove_if("key", *made), words))

    assert len(made) == 1
    assert taken.count(True) == 1
    assert settings.find("key") is None


def test_a_setting_that_is_another_by_now_is_not_taken_away(ledger: Ledger) -> None:
    ledger.settings.put("key", "new")

    assert not ledger.settings.remove_if("key", "old")
    assert ledger.settings.put_first("key", "newer") == "new"
    assert ledger.settings.find("key") == "new"


def test_of_many_who_spend_one_link_at_once_one_chooses(ledger: Ledger) -> None:
    ledger.users.add("ana", "hash", Role.VIEWER)
    links = PasswordLinks(ledger, now=utc_now)
    secret = links.make("ana")
    chosen: list[str] = []

    def spend(number: int) -> None:
        def choose(user: User) -> None:
            chosen.append(user.name)
            ledger.users.set_password(user.name, f"hash {number}")

        with suppress(PasswordLinkNotFoundError):
            links.spend(secret, choose)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(spend, range(20)))

    assert chosen == ["ana"]


def test_of_many_who_replace_one_password_at_once_one_does(ledger: Ledger) -> None:
    ledger.users.add("ana", "old", Role.VIEWER)

    def replace(number: int) -> bool:
        return ledger.users.replace_password("ana", "old", f"hash {number}")

    with ThreadPoolExecutor(8) as threads:
        replaced = list(threads.map(replace, range(20)))

    assert replaced.count(True) == 1
    ana = ledger.users.find("ana")
    assert ana is not None
    assert (ana.password_hash, ana.token_version) == (f"hash {replaced.index(True)}", 2)


def test_of_many_links_that_are_made_at_once_one_is_good(ledger: Ledger) -> None:
    ledger.users.add("ana", "hash", Role.VIEWER)
    links = PasswordLinks(ledger, now=utc_now)

    with ThreadPoolExecutor(8) as threads:
        secrets = list(threads.map(lambda _: links.make("ana"), range(20)))

    good = 0
    for secret in secrets:
        with suppress(PasswordLinkNotFoundError):
            links.check(secret)
            good += 1
    assert good == 1
