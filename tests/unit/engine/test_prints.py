from __future__ import annotations

import logging
from pathlib import Path

import pytest
from celery.utils.log import LoggingProxy, get_logger

from tests.engines import open_app


def test_what_a_task_prints_is_logged_with_its_name_and_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = get_logger("celery.redirected")
    # As in a process that has no app yet.
    logger.filters.clear()
    with open_app(tmp_path) as app:

        @app.task(name="talk", bind=True)
        def talk(self: object) -> None:
            stdout.write("100% done")

        stdout = LoggingProxy(logger, logging.WARNING)
        with caplog.at_level(logging.WARNING):
            stdout.write("nobody's")
            ran = talk.apply(task_id="one")

    assert ran.state == "SUCCESS"
    assert [each.getMessage() for each in caplog.records] == ["nobody's", "talk[one]: 100% done"]
