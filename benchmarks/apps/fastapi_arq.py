"""FastAPI with arq: the fastest submitting of the field."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Request

from benchmarks.apps.fastapi_parts import SignedIn, Wish


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = await create_pool(RedisSettings.from_dsn(f"{os.environ['BENCH_BROKER']}/0"))
    yield
    await app.state.pool.aclose()


app = FastAPI(lifespan=_lifespan)


@app.post("/tasks/process", status_code=202)
async def submit(request: Request, wish: Wish, who: SignedIn) -> dict[str, str]:
    """Queue a task."""
    job = await request.app.state.pool.enqueue_job("process", wish.data)
    return {"task_id": job.job_id}
