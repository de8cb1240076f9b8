from __future__ import annotations

import logging

import pytest

from celeriac.web.access_log import mask_access_log


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/start/user.QWRh.secret", "/start/***"),
        ("/start/secret?next=/ui", "/start/***?next=/ui"),
        ("/prefix/start/secret", "/prefix/start/***"),
        ("/start/", "/start/"),
        ("/tasks/start", "/tasks/start"),
    ],
)
def test_a_secret_in_a_path_is_masked(
    caplog: pytest.LogCaptureFixture, path: str, shown: str
) -> None:
    mask_access_log("tests.access")
    mask_access_log("tests.access")
    log = logging.getLogger("tests.access")
    assert len(log.filters) == 1

    with caplog.at_level(logging.INFO, logger="tests.access"):
        log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
        log.info(f"GET {path}")

    assert caplog.messages == [f'127.0.0.1:1 - "GET {shown} HTTP/1.1" 200', f"GET {shown}"]
