"""The ledger, opened for one command without a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from celeriac.cli.options import Options, settings_with
from celeriac.ledger.open import Ledger, open_ledger
from celeriac.service.secrets import ensure_data_dir


@contextmanager
def ledger_of(options: Options) -> Iterator[Ledger]:
    """Open the ledger that the options and the environment name.

    Raises:
        SettingsError: One of them is broken.
        LedgerUnavailableError: It cannot be opened.
    """
    settings = settings_with(options)
    ensure_data_dir(settings.data_dir)
    ledger = open_ledger(settings.ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()
