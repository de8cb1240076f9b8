"""Page tokens: where a page ended, sealed, so that nobody but us can say so."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence

from celeriac.core.moments import from_micros, to_micros
from celeriac.core.page import Cursor
from celeriac.core.task import TaskId
from celeriac.errors import InvalidOptionError

_SEAL_BYTES = 16
# An id may be 255 characters of any kind; a token is never longer than this.
_MOST_CHARACTERS = 4096


class PageTokens:
    """Seals cursors with the first of its keys and opens those of all."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def seal(self, cursor: Cursor | None, *, context: str) -> str:
        """Return a cursor as a token; the empty text when there is no further page.

        Args:
            cursor: Where the page ended.
            context: Whose list it is and what it was asked for: the token is good for no other.
        """
        if cursor is None:
            return ""
        text = json.dumps([to_micros(cursor.created_at), cursor.id], separators=(",", ":")).encode()
        return _encode(_seal(self._keys[0], text, context) + text)

    def open(self, token: str, *, context: str) -> Cursor | None:
        """Return the cursor in a token; None for the empty text, which is the first page.

        Raises:
            InvalidOptionError: It was not sealed by us for this list.
        """
        if not token:
            return None
        raw = _decode(token)
        seal, text = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
        if not any(hmac.compare_digest(seal, _seal(key, text, context)) for key in self._keys):
            raise InvalidOptionError("page_token", "is not a page token of this list")
        microseconds, task_id = json.loads(text)
        created_at = from_micros(microseconds)
        return Cursor(created_at=created_at, id=TaskId(task_id))


def _seal(key: bytes, text: bytes, context: str) -> bytes:
    # Each part has a length of its own, so that no two pairs read the same.
    said = len(text).to_bytes(4, "big") + text + context.encode("utf-8", errors="surrogatepass")
    return hmac.digest(key, said, "sha256")[:_SEAL_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(token: str) -> bytes:
    if len(token) > _MOST_CHARACTERS:
        return b""
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return b""
