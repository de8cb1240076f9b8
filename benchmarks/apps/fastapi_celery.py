"""FastAPI with `.delay()`, as tutorials write it; the faster of its two forms."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.apps.fastapi_parts import SignedIn, Wish
from benchmarks.apps.stock import process

app = FastAPI()


@app.post("/tasks/process", status_code=202)
async def submit(wish: Wish, who: SignedIn) -> dict[str, str]:
    """Queue a task."""
    return {"task_id": process.delay(wish.data).id}
