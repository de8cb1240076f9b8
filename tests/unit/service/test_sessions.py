from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from celeriac.errors import NotAuthenticatedError
from celeriac.service.sessions import Sessions
from celeriac.service.tokens import Claims
from tests.fakes import Clock, make_user

LIFETIME = timedelta(hours=12)


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions([b"one", b"two"], lifetime=LIFETIME, now=clock)


def test_a_session_says_whose_it_is(sessions: Sessions) -> None:
    session = sessions.begin(make_user(token_version=7))

    assert sessions.read(session.text) == Claims(user_name="ada", token_version=7)
    assert session.lifetime == LIFETIME


def test_no_two_sessions_are_the_same(sessions: Sessions) -> None:
    assert sessions.begin(make_user()).text != sessions.begin(make_user()).text


def test_a_session_ends_with_its_lifetime(sessions: Sessions, clock: Clock) -> None:
    session = sessions.begin(make_user())
    clock.advance(hours=12)

    with pytest.raises(NotAuthenticatedError):
        sessions.read(session.text)


def test_a_session_of_an_older_key_is_still_good(clock: Clock) -> None:
    old = Sessions([b"two"], lifetime=LIFETIME, now=clock).begin(make_user())

    assert Sessions([b"one", b"two"], lifetime=LIFETIME, now=clock).read(old.text)


def test_a_session_of_another_key_is_refused(sessions: Sessions, clock: Clock) -> None:
    foreign = Sessions([b"three"], lifetime=LIFETIME, now=clock).begin(make_user())

    with pytest.raises(NotAuthenticatedError):
        sessions.read(foreign.text)


@pytest.mark.parametrize("text", ["", ".", "x", "x.y", "é.é", "a.=", "x" * 5000])
def test_what_is_no_session_is_refused(sessions: Sessions, text: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        sessions.read(text)


def test_a_changed_name_breaks_the_seal(sessions: Sessions) -> None:
    payload, _, seal = sessions.begin(make_user()).text.partition(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    said[0] = "eve"
    forged = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")

    with pytest.raises(NotAuthenticatedError):
        sessions.read(f"{forged}.{seal}")
