"""Names that requests take, so that the same one a second time changes nothing."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from celeriac.core.acceptance import Reservation
from celeriac.service.callers import Caller

# As long as the draft of the Idempotency-Key header lets a service choose.
KEY_LIFETIME = timedelta(hours=24)


def reservation_id(*parts: str) -> str:
    """Return the id of what somebody reserves, from which neither of the parts is read again."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def reserve_key(key: str, fingerprint: str, *, by: Caller) -> Reservation:
    """Return the reservation behind a caller's idempotency key."""
    return Reservation(
        id=reservation_id("idempotency key", by.name, key),
        lifetime=KEY_LIFETIME,
        fingerprint=fingerprint,
    )
