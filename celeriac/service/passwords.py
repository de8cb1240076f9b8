"""Which passwords are good enough, and how they are kept.

What decides (`weakness`) is pure; what hashes is slow on purpose and bounded in number.
"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from base64 import b64encode
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_CHARACTERS = 12
# More than any password manager makes; less than what would keep a hash busy.
MOST_CHARACTERS = 1024
# Hashes that run at one time in one process: each takes a core and 19 MiB.
MOST_HASHES_AT_ONCE = 2

_LOOKALIKES = str.maketrans("013457@$!", "oleastasi")
_EDGES = "0123456789!@#$%^&*()-_=+.,?/\\|'\"`~ "


def weakness(name: str, password: str) -> str | None:
    """Return what is wrong with a password, as the end of a sentence; None when it is good.

    Args:
        name: The user's name: a password must not be it.
        password: As it was typed; any characters are welcome, none are demanded.
    """
    plain = _normal(password).casefold()
    if plain == _normal(name).casefold():
        return "the user's own name"
    if len(password) < LEAST_CHARACTERS:
        return f"shorter than {LEAST_CHARACTERS} characters"
    if len(password) > MOST_CHARACTERS:
        return f"longer than {MOST_CHARACTERS} characters"
    if _is_well_known(plain):
        return "too well known"
    if _period(plain) <= len(plain) // 3:
        return "one short piece repeated"
    return None


class Hasher:
    """Hashes and verifies passwords with argon2id, a few at a time."""

    def __init__(
        self, *, memory_kib: int = 19456, passes: int = 2, at_once: int = MOST_HASHES_AT_ONCE
    ) -> None:
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._slots = threading.BoundedSemaphore(at_once)
        # Verified when there is no such user, so that this takes as long as a wrong password.
        self._decoy = _decoy(memory_kib=memory_kib, passes=passes)

    def hash(self, password: str) -> str:
        """Return the hash of a password, with its parameters and a new salt."""
        with self._slots:
            return self._argon2.hash(_to_bytes(password))

    def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether a password is the one behind a hash.

        Args:
            password: As it was typed.
            password_hash: None when there is nobody to compare with: takes as long, and is False.
        """
        # Whoever sends a novel is not let in, but shall not keep a slot for it either.
        typed = _to_bytes(password[: MOST_CHARACTERS + 1])
        with self._slots:
            try:
                matches = self._argon2.verify(password_hash or self._decoy, typed)
            except (VerificationError, InvalidHashError):
                return False
        return matches and password_hash is not None and len(password) <= MOST_CHARACTERS

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether a hash was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(password_hash)


def _decoy(*, memory_kib: int, passes: int) -> str:
    # What no password gives, put together instead of hashed: that costs a start a tenth of a
    # second, and to compare with it takes as long as with any other.
    salt, digest = (b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${digest}"


def _normal(password: str) -> str:
    # The same password typed on two systems may come as different code points.
    return unicodedata.normalize("NFKC", password)


def _to_bytes(password: str) -> bytes:
    # A terminal may hand over lone surrogates; they count like any other character.
    return _normal(password).encode("utf-8", errors="surrogatepass")


def _is_well_known(plain: str) -> bool:
    known = _well_known()
    core = plain.strip(_EDGES)
    candidates = {plain, core, plain.translate(_LOOKALIKES), core.translate(_LOOKALIKES)}
    candidates |= {candidate[: _period(candidate)] for candidate in tuple(candidates)}
    return not known.isdisjoint(candidates)


def _period(text: str) -> int:
    """Return the length of the shortest piece that, repeated, makes the whole text."""
    if not text:
        return 0
    # The text is found inside its own double at its period; len(text) when it has none.
    return (text + text).find(text, 1)


@cache
def _well_known() -> frozenset[str]:
    lines = Path(__file__).with_name("well_known_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in lines.splitlines() if line and not line.startswith("#"))
