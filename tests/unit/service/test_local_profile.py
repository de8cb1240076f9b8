from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.errors import NotAuthenticatedError
from celeriac.ledger.open import Ledger
from celeriac.service.access import AccessService
from celeriac.service.local_profile import LOCAL_USER, keep_local_profile
from celeriac.service.passwords import Hasher
from celeriac.service.profiles import Profile, local_profile, read_profile
from celeriac.service.tokens import Tokens
from tests.fakes import Clock

URL = "http://127.0.0.1:8000"


def keep(ledger: Ledger, folder: Path, clock: Clock, url: str = URL) -> Profile:
    keep_local_profile(ledger, folder, url=url, now=clock)
    found = read_profile(local_profile(folder))
    assert found is not None
    return found


def test_the_first_start_writes_a_profile_whose_key_is_let_in(
    ledger: Ledger, tmp_path: Path, clock: Clock, hasher: Hasher, tokens: Tokens
) -> None:
    profile = keep(ledger, tmp_path, clock)

    access = AccessService(ledger, hasher, tokens, now=clock)
    caller = access.admit(access.read_token(profile.key))
    assert profile.url == URL
    assert (caller.name, caller.sees_all) == (LOCAL_USER, True)
    for guess in ("", "!"):
        with pytest.raises(NotAuthenticatedError):
            access.sign_in(LOCAL_USER, guess)


def test_a_later_start_keeps_the_key_and_tells_where_the_service_is_now(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    first = keep(ledger, tmp_path, clock)

    second = keep(ledger, tmp_path, clock, url="http://127.0.0.1:8001")

    assert second == Profile(url="http://127.0.0.1:8001", key=first.key)
    assert len(ledger.keys.list(LOCAL_USER)) == 1


def test_a_key_that_is_no_longer_good_is_replaced(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    first = keep(ledger, tmp_path, clock)
    ledger.keys.revoke(ledger.keys.list(LOCAL_USER)[0].id)

    second = keep(ledger, tmp_path, clock)
    local_profile(tmp_path).write_text("half a fi")
    third = keep(ledger, tmp_path, clock)

    assert len({first.key, second.key, third.key}) == 3


def test_a_local_user_who_was_disabled_gets_no_new_key(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    first = keep(ledger, tmp_path, clock)
    ledger.users.disable(LOCAL_USER)

    assert keep(ledger, tmp_path, clock, url="http://elsewhere") == first


def test_a_start_that_finds_all_as_it_should_be_writes_nothing(
    ledger: Ledger, tmp_path: Path, clock: Clock
) -> None:
    keep(ledger, tmp_path, clock)
    before = local_profile(tmp_path).stat().st_ino

    keep(ledger, tmp_path, clock)

    assert local_profile(tmp_path).stat().st_ino == before
