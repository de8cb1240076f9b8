from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from celeriac.engine.broker import connect_once
from celeriac.engine.local_broker import FILE_OPTION
from tests.servers.valkey import ValkeyServer


def test_a_connection_leads_to_where_the_broker_is_when_it_is_made(
    app: Celery, valkey: ValkeyServer, tmp_path: Path
) -> None:
    file = tmp_path / "broker.url"
    app.conf.broker_write_url = "redis://:old@127.0.0.1:1/0"
    app.conf.broker_transport_options = {FILE_OPTION: str(file)}

    with connect_once(app) as connection:
        # Nobody has told yet, or `up` is just starting.
        for text in ("", "memory://127.0.0.1:1//\n", "redis://:new@127.0.0.1:1/0\n"):
            file.write_text(text)
            with pytest.raises(OperationalError):
                connection.ensure_connection(max_retries=1, interval_start=0)

        file.write_text(f"{valkey.url}\n")
        connection.ensure_connection(max_retries=1)

        assert connection.default_channel.plain_client().ping()
        assert connection.clone().port == connection.port == valkey.port
