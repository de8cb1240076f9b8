"""The access log of whatever server runs us, without the secrets that stand in paths."""

from __future__ import annotations

import logging
import re

# The links of people who choose a password: whoever reads a log could use one that is still good.
_SECRET = re.compile(r"(?<=/start/)[^/?\s]+")
_MASK = "***"


class _Masking(logging.Filter):
    """Masks what is secret in the paths of a log record, and lets it through."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_masked, record.args))
        record.msg = _masked(record.msg)
        return True


def mask_access_log(name: str = "uvicorn.access") -> None:
    """Have a server's log of requests mask the secrets of links.

    `up` writes no such log; `uvicorn main:app` does, as it is shipped.
    """
    log = logging.getLogger(name)
    if not any(isinstance(each, _Masking) for each in log.filters):
        log.addFilter(_Masking())


def _masked(said: object) -> object:
    return _SECRET.sub(_MASK, said) if isinstance(said, str) else said
