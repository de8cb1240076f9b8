"""One's own keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from celeriac.web.auth import SignedIn
from celeriac.web.bodies import JSON_TYPE, read_json_object
from celeriac.web.key_schemas import KEY_WISH, KeyOut, KeysOut, MadeKeyOut, read_wish
from celeriac.web.openapi import LIMIT_HEADERS, body_of, refusals
from celeriac.web.parts import Keys

router = APIRouter(tags=["keys"])

Json = Any


@router.get(
    "/keys",
    operation_id="list_keys",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 429, 503)},
)
def list_keys(who: SignedIn, keys: Keys) -> KeysOut:
    """List one's own keys, those that are no longer good too; never the keys themselves."""
    return KeysOut(keys=[KeyOut.of(key) for key in keys.list_own_keys(by=who)])


@router.post(
    "/keys",
    operation_id="create_key",
    status_code=201,
    openapi_extra=body_of({JSON_TYPE: KEY_WISH}),
    responses={
        201: {"headers": LIMIT_HEADERS, "description": "The key, which is shown this once."},
        **refusals(400, 401, 403, 413, 415, 422, 429, 503),
    },
)
def create_key(
    who: SignedIn, wish: Annotated[dict[str, Json], Depends(read_json_object)], keys: Keys
) -> MadeKeyOut:
    """Make a key that acts in one's own name, with no more rights than one has."""
    return MadeKeyOut.of_made(keys.create_own_key(read_wish(wish, user=who.name), by=who))


@router.delete(
    "/keys/{key_id}",
    operation_id="revoke_key",
    responses={200: {"headers": LIMIT_HEADERS}, **refusals(401, 403, 404, 429, 503)},
)
def revoke_key(
    key_id: Annotated[str, Path(description="The key's id, or how the key begins.")],
    who: SignedIn,
    keys: Keys,
) -> KeyOut:
    """Make one of one's own keys good for nothing, from its next request on."""
    return KeyOut.of(keys.revoke_own_key(key_id, by=who))
