"""The HTTP service as `up` starts it: `python -m celeriac.entries.service APP OPTIONS`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress

from celeriac.engine.garbage import kept_for_good

# How long requests may be answered at the end.
_GRACE_SECONDS = 3
# How uvicorn's own command ends when it could not start.
_NOT_STARTED = 3


def options() -> Namespace:
    """Return what the command line says."""
    parser = ArgumentParser()
    # MODULE:ATTRIBUTE, as uvicorn has it.
    parser.add_argument("app")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log-level", required=True)
    # A socket that was inherited and listens already; host and port are only told then.
    parser.add_argument("--socket", dest="sockets", type=int, action="append")
    return parser.parse_args()


if __name__ == "__main__":
    asked = options()
    with kept_for_good():
        from uvicorn import Config
        from uvicorn.importer import ImportFromStringError, import_from_string

        from celeriac.web.server import Server, inherited_sockets

        # It imports the app again, and says then why that cannot be.
        with suppress(ImportFromStringError):
            import_from_string(asked.app)
    config = Config(
        asked.app,
        host=asked.host,
        port=asked.port,
        log_level=asked.log_level,
        access_log=False,
        server_header=False,
        # Which proxies may name the client is a setting of ours, not of the server's.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    config.load_app()
    server = Server(config)
    with suppress(KeyboardInterrupt):
        server.run(None if asked.sockets is None else inherited_sockets(asked.sockets))
    if not server.started:
        sys.exit(_NOT_STARTED)
