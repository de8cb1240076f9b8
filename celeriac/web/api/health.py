"""Whether the service lives, whether it can accept, and what it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from celeriac.web.openapi import refusals
from celeriac.web.parts import parts_of
from celeriac.web.schemas import HealthOut

router = APIRouter(tags=["service"])


@router.get("/healthz", operation_id="is_alive")
async def is_alive() -> HealthOut:
    """Say that the process answers."""
    return HealthOut(status="ok")


@router.get("/readyz", operation_id="is_ready", responses=refusals(503))
async def is_ready(request: Request) -> HealthOut:
    """Say that tasks can be accepted: the ledger answers."""
    await run_in_threadpool(parts_of(request).ping_ledger)
    return HealthOut(status="ok")


@router.get("/openapi.json", operation_id="describe_service")
def describe_service(request: Request) -> dict[str, Any]:
    """Describe every operation, as OpenAPI 3.1."""
    document: dict[str, Any] = request.app.openapi()
    return document
