from __future__ import annotations

import subprocess
import sys

HEAVY = ("celery", "kombu", "sqlalchemy", "fastapi", "starlette", "pydantic", "redis", "argon2")


def test_the_client_brings_no_library_of_the_service_along() -> None:
    program = (
        "import sys; from celeriac import Client, Handle;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
