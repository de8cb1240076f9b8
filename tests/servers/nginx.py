"""A real nginx before a service, with the site of `deploy/nginx`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.servers.debian import find_program
from tests.servers.ports import answers
from tests.servers.processes import Process, clean_environment

# Its workers would be somebody else, to whom the folders of the tests are closed.
_USER = "user root;" if os.geteuid() == 0 else ""
# What a system's own nginx.conf has around a site, in a folder of the test's.
_AROUND = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    default_type application/octet-stream;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class NginxServer(Process):
    """One nginx that serves one site."""

    def __init__(self, folder: Path, *, site: str, replaced: Mapping[str, str], port: int) -> None:
        """Take a site, with its places put in this machine's words.

        Args:
            folder: Where its files lie.
            site: The site's configuration, as it is shipped.
            replaced: What stands in it, and what stands here instead; each must occur.
            port: A port on which it listens once that is done.
        """
        folder.mkdir(parents=True)
        for there, here in replaced.items():
            assert there in site, f"the site does not say {there!r}"
            site = site.replace(there, here)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=_USER))
        self._port = port
        self.access_log = folder / "access.log"
        program = find_program("nginx", package="nginx-light")
        super().__init__(
            [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")],
            log=folder / "nginx.log",
            environment=clean_environment(),
            folder=folder,
        )

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        super().start()
        self.wait_until(lambda: answers(self._port), "it takes connections")
