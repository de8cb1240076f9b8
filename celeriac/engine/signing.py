"""Results that are believed although they came by way of the broker.

Whoever waits for a lone task is told of its end over the broker, and its result stands in that word
for plain Celery clients anyway. It is believed if it is signed with a key that only the ledger has:
whoever can write to the broker cannot make such a word, and one that is said again says the same,
because final is final. So nobody need ask the ledger for what was just read out of it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from celeriac.core.file_reference import MARK
from celeriac.core.outcome import Ended
from celeriac.core.state import TaskState
from celeriac.core.task import Codec
from celeriac.errors import LedgerUnavailableError

KEY_SETTING = "result_signing_key"
# A signature is the last member of a JSON object, and always as long.
_BEGIN = b',"signature":"'
_END = b'"}'
_LENGTH = len(_BEGIN) + 64 + len(_END)
_COMPLETED = TaskState.COMPLETED.value


class Signer:
    """Signs JSON objects, and knows again what was signed with the same key."""

    def __init__(self, read_key: Callable[[], str]) -> None:
        """Prepare.

        Args:
            read_key: Returns the key, a secret text; called when it is first needed. While it
                raises LedgerUnavailableError, nothing is signed and nothing believed.
        """
        self._read_key = read_key
        self._key = b""

    def sign(self, text: bytes) -> bytes:
        """Return a JSON object with its signature in it; as it is while there is no key."""
        signature = self._signature_of(text)
        return text[:-1] + signature if signature else text

    def verify(self, said: bytes) -> bytes | None:
        """Return a signed JSON object without its signature; None if it is not truly signed."""
        text = said[:-_LENGTH] + b"}"
        signature = self._signature_of(text)
        return text if signature and hmac.compare_digest(said[-_LENGTH:], signature) else None

    def _signature_of(self, text: bytes) -> bytes:
        """Return what takes the place of an object's last brace: HMAC, RFC 2104, with SHA-256."""
        if not self._key:
            try:
                self._key = self._read_key().encode()
            except LedgerUnavailableError:
                return b""
        if not self._key:
            return b""
        return _BEGIN + hmac.digest(self._key, text, "sha256").hex().encode() + _END


def new_key() -> str:
    """Return a key that nobody guesses."""
    return secrets.token_hex(32)


def is_worth_signing(ended: Ended) -> bool:
    """Return whether a word of a task's end says all that the ledger would.

    Of what is no plain JSON it does not say how to read it, a file has to be opened, and of a
    failure the ledger knows more.
    """
    return (
        ended.state == _COMPLETED
        and ended.result_codec == Codec.JSON
        and MARK not in (ended.result or "")
    )
