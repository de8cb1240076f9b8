from __future__ import annotations

import os
import subprocess
import sys

from celeriac.wording import own_checkout

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


def test_a_python_without_our_packages_is_told_which_one_has_them() -> None:
    checkout = own_checkout()
    assert checkout is not None
    # As /usr/bin/python3 would, which finds the checkout's package beside the script and no other.
    command = [sys.executable, "-S", "-c", "from celeriac import Client"]

    done = subprocess.run(command, capture_output=True, text=True, cwd=checkout)

    place = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: celeriac needs httpx, which {sys.executable} does not have; "
        f"run it with {checkout / '.venv' / place} (`python run.py` makes it)"
    )
    assert "connection.py" not in done.stderr
