from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery, signals

from celeriac.engine import apps
from celeriac.engine.local_broker import FILE_OPTION
from celeriac.engine.unheeded import list_unheeded
from celeriac.errors import SettingsError
from celeriac.settings import Settings
from celeriac.web.app import create_web

OF_UP = "redis://:secret@127.0.0.1:7001/0"


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Forget who listens for a worker's start."""
    receivers = list(signals.celeryd_after_setup.receivers)
    yield
    signals.celeryd_after_setup.receivers[:] = receivers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a program beside an `up` that has started its broker."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "broker.url").write_text(f"{OF_UP}\n")
    return replace(Settings(), data_dir=tmp_path, broker_url=OF_UP, app="shop:app")


def make_app(**configured: Any) -> Celery:
    app = Celery("shop", broker="redis://:theirs@old:6379/3", set_as_current=False)
    app.conf.update(configured)
    return app


def move(app: Celery, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Celery:
    module = ModuleType("shop")
    vars(module)["app"] = app
    monkeypatch.setitem(sys.modules, "shop", module)
    return apps.find_app(settings)


def test_a_worker_beside_up_joins_its_broker_and_says_what_does_not_come_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CELERIAC_BROKER_URL", raising=False)
    app = make_app(broker_use_ssl=True, broker_transport_options={"global_keyprefix": "x"})

    move(app, settings, monkeypatch)
    signals.celeryd_after_setup.send(sender="celery@host")

    assert app.conf.broker_url == app.conf.broker_read_url == OF_UP
    assert not app.conf.broker_use_ssl
    assert app.conf.broker_transport_options == {
        "global_keyprefix": "x",
        FILE_OPTION: str(settings.broker_file),
    }
    (said,) = caplog.messages
    assert "what other programs send to redis://:***@old:6379/3" in said
    assert "CELERIAC_BROKER_URL=redis://:***@old:6379/3 for `up`" in said
    app.celeriac.close()


def test_an_app_that_has_moved_by_itself_keeps_its_broker_and_says_so(settings: Settings) -> None:
    app = make_app()

    (said,) = list_unheeded(app, settings, own_broker=str(app.conf.broker_url))

    assert said == (
        "shop:app keeps its own broker, redis://:***@old:6379/3, and nobody uses that of `up`:"
        " CELERIAC_BROKER_URL=redis://:***@old:6379/3 has `up` start none"
    )


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        ({"result_backend": "redis://localhost/1"}, []),
        ({"result_backend": "disabled://"}, []),
        (
            {"result_backend": "db+postgresql://ann:canary@host/results"},
            ["no results are written to db+postgresql://ann:***@host/results"],
        ),
        ({"result_backend": "rpc://"}, ["no results are written to rpc://"]),
        (
            {"beat_schedule": {"tick": {"task": "shop.tick", "schedule": 5.0}}},
            ["the beat_schedule of shop:app (1) runs only while a beat does: celery -A shop beat"],
        ),
    ],
)
def test_what_nobody_here_does_is_said(
    settings: Settings, configured: dict[str, Any], said: list[str]
) -> None:
    elsewhere = replace(settings, broker_url="redis://old")

    sentences = list_unheeded(make_app(**configured), elsewhere, own_broker="redis://old")

    assert [each[: len(start)] for each, start in zip(sentences, said, strict=True)] == said


def test_a_worker_with_its_own_beat_says_nothing_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["worker", "-B"])
    app = make_app(beat_schedule={"tick": {"task": "shop.tick", "schedule": 5.0}})

    assert list_unheeded(app, settings, own_broker="") == []


def test_a_service_of_an_app_that_has_not_moved_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"celeriac\.install\(app\) has moved"):
        create_web(make_app())
