"""Make the secrets of an installation, each in a file of its own.

    python deploy/make_secrets.py deploy/secrets

for `deploy/compose.yaml`, whose names for the servers are the defaults. A folder that exists is
left as it is: a secret that changes behind a running service locks everybody out.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path


def main(words: list[str] | None = None) -> int:
    """Write the files and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to; it must not exist")
    parser.add_argument("--database", default="postgres:5432", metavar="HOST:PORT")
    parser.add_argument("--broker", default="valkey:6379", metavar="HOST:PORT")
    parser.add_argument("--flower", default="flower:5555", metavar="HOST:PORT")
    chosen = parser.parse_args(words)
    try:
        # Closes the way for every other user of this machine. The files themselves stay readable,
        # because a container reads them under a user that this machine does not know.
        chosen.folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        sys.stderr.write(f"error: {chosen.folder} exists already; nothing was written\n")
        return 1
    made = contents(database=chosen.database, broker=chosen.broker, flower=chosen.flower)
    for name, text in made.items():
        (chosen.folder / name).write_text(text + "\n", encoding="ascii")
    sys.stderr.write(
        f"wrote {len(made)} secrets into {chosen.folder}: keep a copy in a safe place\n"
    )
    return 0


def contents(*, database: str, broker: str, flower: str) -> dict[str, str]:
    """Return what stands in each file, made anew."""
    # Letters, digits, - and _: they stand in a URL and in a configuration as they are.
    of_database, of_broker, of_flower = (secrets.token_urlsafe(32) for _ in range(3))
    return {
        "secret_key": secrets.token_urlsafe(48),
        "postgres_password": of_database,
        "database_url": f"postgresql://celeriac:{of_database}@{database}/celeriac",
        "valkey.conf": f"requirepass {of_broker}",
        "broker_url": f"redis://:{of_broker}@{broker}/0",
        "flower_auth": f"celeriac:{of_flower}",
        "flower_url": f"http://celeriac:{of_flower}@{flower}",
    }


if __name__ == "__main__":
    sys.exit(main())
