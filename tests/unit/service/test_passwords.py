from __future__ import annotations

import hashlib
import secrets
import statistics
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.service.passwords import Hasher, weakness

GOOD = "correct-Battery/staple 17"


@pytest.fixture(scope="module")
def hasher() -> Hasher:
    return Hasher()


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        # 11 characters
        ("x7#kQ!p2Lm9", "shorter than 12 characters"),
        # long, but in every list
        ("password1234", "too well known"),
        # digits and signs around what is in every list
        ("**Password**2026", "too well known"),
        # look-alikes
        ("P@ssw0rd1234", "too well known"),
        # what is in every list, twice
        ("letmeinletmein", "too well known"),
        ("password1password1", "too well known"),
        # one letter, one syllable
        ("aaaaaaaaaaaaaaa", "one short piece repeated"),
        ("%%%%%%%%%%%%%", "one short piece repeated"),
        ("xkq7xkq7xkq7xkq7", "one short piece repeated"),
        # the name, in another case
        ("Ada.Lovelace.1815", "the user's own name"),
        # more than a hash shall be made of
        ("k7" * 513, "longer than 1024 characters"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, reason: str) -> None:
    assert weakness("ada.lovelace.1815", password) == reason


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        # no digit, no sign, no upper case: none is demanded
        "four walnut umbrellas dancing",
        # other scripts
        "пароль-из-многих-букв",
        "🐙🦑🐚🦀🦞🐡🐠🐟🐬🐳🦈🐊",
        # 128 characters
        hashlib.sha512(b"anything").hexdigest(),
    ],
)
def test_a_long_and_unusual_password_is_welcome(password: str) -> None:
    assert weakness("ada", password) is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_can_be_judged(name: str, password: str) -> None:
    assert weakness(name, password) is None or len(password) <= 80


def test_a_hash_is_argon2id_with_at_least_the_least_parameters(hasher: Hasher) -> None:
    assert hasher.hash(GOOD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_verifies_its_password_and_no_other(hasher: Hasher) -> None:
    password_hash = hasher.hash(GOOD)

    assert hasher.verify(GOOD, password_hash)
    assert not hasher.verify(GOOD + " ", password_hash)
    assert not hasher.verify("", password_hash)


def test_no_part_of_a_long_password_is_ignored(hasher: Hasher) -> None:
    password = secrets.token_hex(500)
    password_hash = hasher.hash(password)

    assert hasher.verify(password, password_hash)
    assert not hasher.verify(password[:-1] + "x", password_hash)
    assert not hasher.verify(password + "x" * 30, password_hash)


def test_the_same_letters_from_two_systems_are_the_same_password(hasher: Hasher) -> None:
    # The first as one code point, as most systems type it; then as a letter and an accent.
    password_hash = hasher.hash("\u00e9l\u00e8ve-du-lyc\u00e9e")

    assert hasher.verify("e\u0301le\u0300ve-du-lyce\u0301e", password_hash)


def test_half_a_surrogate_pair_is_a_character_like_any_other(hasher: Hasher) -> None:
    password_hash = hasher.hash("from-a-terminal-\ud83d")

    assert hasher.verify("from-a-terminal-\ud83d", password_hash)
    assert not hasher.verify("from-a-terminal-?", password_hash)


def test_what_is_no_hash_verifies_nothing(hasher: Hasher) -> None:
    assert not hasher.verify(GOOD, "plain text")


def test_nobody_and_a_wrong_password_cost_the_same(hasher: Hasher) -> None:
    password_hash = hasher.hash(GOOD)

    def cost(against: str | None) -> float:
        # Processor time: what other programs do meanwhile does not count.
        begun = time.thread_time()
        assert not hasher.verify("a wrong guess at it", against)
        return time.thread_time() - begun

    pairs = [(cost(password_hash), cost(None)) for _ in range(15)]

    wrong, nobody = (statistics.median(each) for each in zip(*pairs, strict=True))
    assert abs(wrong - nobody) < 0.1 * wrong


def test_a_hash_with_other_parameters_is_outdated(hasher: Hasher) -> None:
    weaker = Hasher(memory_kib=8192).hash(GOOD)

    assert hasher.is_outdated(weaker)
    assert not hasher.is_outdated(hasher.hash(GOOD))
    assert hasher.verify(GOOD, weaker)


def test_only_so_many_hashes_run_at_once() -> None:
    hasher = Hasher(memory_kib=64, passes=1, at_once=1)
    waiting = threading.Thread(target=hasher.hash, args=(GOOD,))

    with hasher._slots:
        waiting.start()
        waiting.join(timeout=0.2)
        is_held_back = waiting.is_alive()
    waiting.join(timeout=10)

    assert is_held_back
    assert not waiting.is_alive()
