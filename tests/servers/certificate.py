"""A certificate for 127.0.0.1 that is its own authority."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.debian import find_program


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where a server's certificate and its key are."""

    file: Path
    key: Path


def make_certificate(folder: Path, *, name: str = "IP:127.0.0.1") -> Certificate:
    """Make a certificate for one day.

    Args:
        folder: Where its files shall be.
        name: Whom it is for, in OpenSSL's words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *(find_program("openssl", package="openssl"), "req", "-x509", "-days", "1", "-nodes"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-subj", "/CN=a broker of the tests", "-addext", f"subjectAltName={name}"),
            *("-keyout", str(made.key), "-out", str(made.file)),
        ],
        check=True,
        capture_output=True,
    )
    return made
