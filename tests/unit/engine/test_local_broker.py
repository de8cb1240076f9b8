from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery

from celeriac.engine.local_broker import (
    FILE_OPTION,
    answers,
    find_followed,
    locate,
    with_local_broker,
)
from celeriac.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "up").mkdir()
    return replace(Settings(), data_dir=tmp_path)


def tell(settings: Settings, port: int) -> str:
    url = f"redis://:secret@127.0.0.1:{port}/0"
    (settings.data_dir / "up" / "broker.url").write_text(url + "\n")
    return url


def test_the_broker_of_a_running_up_is_taken(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = tell(settings, server.getsockname()[1])

        assert with_local_broker(settings, {}).broker_url == url


def test_whoever_speaks_to_it_without_celery_is_led_to_the_next_one(settings: Settings) -> None:
    url = tell(settings, 7001)
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.broker_transport_options = {FILE_OPTION: str(settings.broker_file)}
    beside = replace(settings, broker_url=url)
    assert locate(app, beside) == url

    next_one = tell(settings, 7002)

    assert locate(app, beside) == next_one
    settings.broker_file.unlink()
    assert locate(app, beside) == url


@pytest.mark.parametrize(
    ("own", "located"),
    [
        # an app that has moved by itself keeps it
        ("redis://own:1/2", "redis://own:1/2"),
        # what Celery needs beside these stands elsewhere
        ("rediss://own:1/2", "redis://localhost:6379"),
        (None, "redis://localhost:6379"),
    ],
)
def test_an_apps_own_broker_is_where_it_is(
    settings: Settings, own: str | None, located: str
) -> None:
    app = Celery("shop", broker=own, set_as_current=False)

    assert locate(app, settings) == located


def test_a_broker_that_is_gone_is_not(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    tell(settings, port)

    assert with_local_broker(settings, {}) == settings


def test_a_broker_that_was_named_wins(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell(settings, server.getsockname()[1])
        named = replace(settings, broker_url="redis://broker.internal:6379")

        assert with_local_broker(named, {}) == named
        as_default = {"CELERIAC_BROKER_URL": settings.broker_url}
        assert with_local_broker(settings, as_default) == settings


def test_without_an_up_nothing_changes(settings: Settings) -> None:
    assert with_local_broker(settings, {}) == settings


def test_the_broker_of_an_up_is_followed_and_one_that_was_named_is_not(settings: Settings) -> None:
    found = replace(settings, broker_url=tell(settings, 1))

    assert find_followed(found, {}) == settings.broker_file
    assert find_followed(found, {"CELERIAC_BROKER_URL": found.broker_url}) is None
    assert find_followed(replace(settings, broker_url="memory://"), {}) is None


def test_who_starts_before_the_up_follows_it_unless_there_is_a_broker_at_the_usual_place(
    settings: Settings,
) -> None:
    expected = None if answers("localhost", 6379) else settings.broker_file

    assert find_followed(settings, {}) == expected
