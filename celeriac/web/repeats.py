"""Knowing a request again that comes a second time, by its `Idempotency-Key` (an IETF draft)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from starlette.requests import Request

from celeriac.core.acceptance import TaskOutcome
from celeriac.service.submitting import Once
from celeriac.web.refusals import BrokenHeaderError

HEADER = "Idempotency-Key"
# The draft has it in quotation marks, most clients leave them out.
_KEY = re.compile(r'"[!#-~ ]{1,255}"|[!#-~]{1,255}')


def once_of(
    request: Request, content: bytes, to_answer: Callable[[Sequence[TaskOutcome]], str]
) -> Once | None:
    """Return how a request is known again; None when it does not ask for that.

    Args:
        request: The request.
        content: What stands in its body.
        to_answer: Makes the body of its answer.

    Raises:
        BrokenHeaderError: The key is none.
    """
    key = key_of(request.headers.getlist(HEADER))
    if key is None:
        return None
    return Once(key=key, fingerprint=_fingerprint(request, content), to_answer=to_answer)


def key_of(headers: Sequence[str]) -> str | None:
    """Return the key in a request's `Idempotency-Key` headers; None when there is none.

    Raises:
        BrokenHeaderError: There are several, or it is too long or holds strange characters.
    """
    if not headers:
        return None
    if len(headers) > 1 or not _KEY.fullmatch(headers[0].strip()):
        raise BrokenHeaderError(HEADER, "is not one text of 1 to 255 ASCII characters")
    return headers[0].strip().strip('"')


def _fingerprint(request: Request, content: bytes) -> str:
    asked = (
        request.method.encode(),
        bytes(request.scope.get("raw_path") or request.url.path.encode()),
        bytes(request.scope["query_string"]),
        content,
    )
    # Each with its length, so that nothing moves from one into the next.
    digest = hashlib.sha256()
    for each in asked:
        digest.update(len(each).to_bytes(8, "big"))
        digest.update(each)
    return digest.hexdigest()
