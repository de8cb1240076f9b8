"""What Celery must be told so that a broker's URL means the same to it as to us."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote

from celeriac.core.broker_url import SentinelAddress, read_sentinel_url
from celeriac.errors import SettingsError

_SENTINELS = "sentinel://HOST:PORT;sentinel://HOST:PORT/DATABASE?master_name=NAME"

# How often a broker inside the process is asked for news; kombu's own default is a second.
_LOOK_SECONDS = 0.02


def celery_options(url: str) -> dict[str, Any]:
    """Return the settings of a Celery app that reach a broker.

    Args:
        url: A broker's URL that `Settings` has accepted.

    Raises:
        SettingsError: It names sentinels, and not as we read them.
    """
    if url.startswith("sentinel://"):
        try:
            return _sentinel_options(read_sentinel_url(url))
        except ValueError as error:
            raise SettingsError("CELERIAC_BROKER_URL", "***", f"{_SENTINELS}: {error}") from None
    if url.startswith("memory://"):
        return {"broker_url": url, "broker_transport_options": {"polling_interval": _LOOK_SECONDS}}
    if not url.startswith("rediss://"):
        return {"broker_url": url}
    # Kombu's own default is to trust whoever answers.
    tls: dict[str, Any] = {"ssl_cert_reqs": "required"}
    bare, _, query = url.partition("?")
    for name, value in parse_qsl(query):
        tls[name] = value != "false" if name == "ssl_check_hostname" else value
    return {"broker_url": bare, "broker_use_ssl": tls}


def _sentinel_options(address: SentinelAddress) -> dict[str, Any]:
    user = quote(address.username, safe="")
    secret = f":{quote(address.password, safe='')}" if address.password else ""
    credentials = f"{user}{secret}@" if user or secret else ""
    first, *rest = (f"{host}:{port}" for host, port in address.sentinels)
    urls = [f"sentinel://{credentials}{first}/{address.database}"]
    urls += [f"sentinel://{each}/{address.database}" for each in rest]
    options: dict[str, Any] = {"master_name": address.master_name}
    if address.sentinel_password:
        options["sentinel_kwargs"] = {"password": address.sentinel_password}
    return {"broker_url": ";".join(urls), "broker_transport_options": options}
