from __future__ import annotations

import base64
import hmac
import json
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest

from celeriac.errors import NotAuthenticatedError
from celeriac.service.tokens import Tokens, derive_key, key_id
from tests.fakes import NOON, Clock, make_user

KEY = "the-first-key-has-48-random-bytes-in-real-life-1"
OTHER_KEY = "another-key-that-is-also-long-enough-to-be-good2"
LIFETIME = timedelta(minutes=15)

Json = Any


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens([KEY], lifetime=LIFETIME, now=clock)


def claims(**changes: Json) -> dict[str, Json]:
    now = int(NOON.timestamp())
    good = {
        "iss": "celeriac",
        "aud": "celeriac-api",
        "sub": "ada",
        "typ": "access",
        "tv": 1,
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "jti": "one",
    }
    changed = {**good, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def forge(
    payload: dict[str, Json] | None = None,
    *,
    key: Any = KEY,
    algorithm: str = "HS256",
    **header: Json,
) -> str:
    headers = {"kid": key_id(KEY), **header}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(payload or claims(), key, algorithm=algorithm, headers=headers)


def raw(header: Json, payload: Json, *, key: bytes | None = None) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256') if key is not None else b'')}"


def ours(**changes: Json) -> dict[str, Json]:
    return {"alg": "HS256", "typ": "JWT", "kid": key_id(KEY), **changes}


def test_a_token_says_who_signed_in(tokens: Tokens) -> None:
    token = tokens.issue(make_user(name="ada", token_version=7))

    assert token.lifetime == LIFETIME
    assert tokens.read(token.text).user_name == "ada"
    assert tokens.read(token.text).token_version == 7


def test_the_tokens_of_these_tests_are_good_until_they_are_changed(tokens: Tokens) -> None:
    assert tokens.read(forge()).user_name == "ada"
    assert tokens.read(raw(ours(), claims(), key=KEY.encode())).user_name == "ada"


@pytest.mark.parametrize(
    "text",
    [
        # no signature at all, said openly and in other spellings
        raw(ours(alg="none"), claims()),
        raw(ours(alg="None"), claims()),
        raw(ours(alg="NONE"), claims()),
        # a signature cut off
        forge().rpartition(".")[0] + ".",
        # another key under our key's name
        forge(key=OTHER_KEY),
        # a public key taken for a shared one
        raw(ours(), claims(), key=b"-----BEGIN PUBLIC KEY-----"),
        raw(ours(kid="-----BEGIN PUBLIC KEY-----"), claims(), key=b"-----BEGIN PUBLIC KEY-----"),
        # an empty key
        raw(ours(), claims(), key=b""),
        # another algorithm of the same family
        forge(algorithm="HS512"),
        forge(algorithm="HS384"),
        # a key we do not have, a path, a statement, no text
        forge(kid="unknown"),
        forge(kid="../../../../dev/null"),
        forge(kid="x' UNION SELECT 'key"),
        raw(ours(kid=["a"]), claims(), key=KEY.encode()),
        raw(ours(kid=None), claims(), key=KEY.encode()),
        raw({"alg": "HS256"}, claims(), key=KEY.encode()),
        # a header that asks us to believe its own key, or what we do not know
        forge(jku="https://evil.example/keys"),
        forge(x5u="https://evil.example/cert"),
        forge(jwk={"kty": "oct", "k": "AAAA"}),
        forge(crit=["exp"]),
        forge(crit=["unknown"], unknown=1),
        forge(b64=False),
        # no token
        "",
        "a.b",
        "a.b.c",
        "....",
        "\x00",
        "x" * 5000,
        raw([], [], key=KEY.encode()),
        raw(ours(), "text", key=KEY.encode()),
    ],
)
def test_a_forged_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        tokens.read(text)


@pytest.mark.parametrize(
    "changes",
    [
        # for somebody else, by somebody else
        {"aud": "another-service"},
        {"iss": "another-service"},
        # a refresh token is no access token
        {"typ": "refresh"},
        {"typ": None},
        # ended, not begun, no times
        {"exp": int(NOON.timestamp()) - 3600},
        {"exp": int(NOON.timestamp()) - 31},
        {"nbf": int(NOON.timestamp()) + 3600},
        {"nbf": int(NOON.timestamp()) + 31},
        {"iat": int(NOON.timestamp()) + 3600},
        {"exp": "2099-01-01"},
        {"exp": 1e300},
        {"exp": True},
        {"exp": None},
        {"nbf": None},
        {"iat": None},
        {"jti": None},
        # nobody in particular
        {"sub": None},
        {"sub": 7},
        # a session that cannot be ended
        {"tv": None},
        {"tv": "1"},
        {"tv": True},
    ],
)
def test_a_token_that_says_something_else_is_refused(
    tokens: Tokens, changes: dict[str, Json]
) -> None:
    with pytest.raises(NotAuthenticatedError):
        tokens.read(forge(claims(**changes)))


def test_a_token_ends_although_its_signature_was_remembered(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(make_user())
    tokens.read(token.text)

    clock.advance(minutes=16)

    with pytest.raises(NotAuthenticatedError, match="expired"):
        tokens.read(token.text)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_an_hour_off_lets_nobody_in(tokens: Tokens, clock: Clock, hours: int) -> None:
    token = tokens.issue(make_user())

    clock.advance(hours=hours)

    with pytest.raises(NotAuthenticatedError):
        tokens.read(token.text)


def test_clocks_a_few_seconds_apart_do_no_harm(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue(make_user())

    clock.advance(seconds=-5)

    assert tokens.read(token.text).user_name == "ada"


def test_a_key_is_rotated_without_ending_sessions(clock: Clock) -> None:
    def tokens_with(*keys: str) -> Tokens:
        return Tokens(keys, lifetime=LIFETIME, now=clock)

    before = tokens_with(KEY).issue(make_user()).text

    both = tokens_with(OTHER_KEY, KEY)

    assert both.read(before).user_name == "ada"
    assert jwt.get_unverified_header(both.issue(make_user()).text)["kid"] == key_id(OTHER_KEY)
    with pytest.raises(NotAuthenticatedError):
        tokens_with(OTHER_KEY).read(before)


def test_a_refusal_is_not_remembered(monkeypatch: pytest.MonkeyPatch, tokens: Tokens) -> None:
    decoded: list[str] = []
    decode: Callable[..., Any] = jwt.decode

    def watched(text: str, *args: Any, **options: Any) -> Any:
        decoded.append(text)
        return decode(text, *args, **options)

    monkeypatch.setattr(jwt, "decode", watched)
    good, bad = forge(), forge(key=OTHER_KEY)

    for text in (good, good, bad, bad):
        try:
            tokens.read(text)
        except NotAuthenticatedError:
            continue

    assert decoded == [good, bad, bad]


def test_a_key_for_another_purpose_is_another_key() -> None:
    assert derive_key(KEY, "page tokens") != derive_key(KEY, "something else")
    assert derive_key(KEY, "page tokens") != derive_key(OTHER_KEY, "page tokens")
    assert KEY not in key_id(KEY)
