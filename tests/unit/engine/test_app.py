from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, _state, concurrency, shared_task
from celery.exceptions import ImproperlyConfigured

from celeriac.engine.amqp import LedgerAMQP
from celeriac.engine.app import create_celery, install
from celeriac.engine.backend import LedgerBackend
from celeriac.engine.control import LedgerControl
from celeriac.engine.doorbell import CONTENT_TYPE
from celeriac.engine.runtime import Engine
from celeriac.errors import SettingsError
from celeriac.settings import Settings
from tests.engines import open_app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, broker_url="memory://")


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """Leave the process's apps and pools as they were found."""
    default, current = _state.default_app, _state._tls.current_app
    aliases, shared = dict(concurrency.ALIASES), set(_state._on_app_finalizers)
    yield
    _state.default_app, _state._tls.current_app = default, current
    concurrency.ALIASES.clear()
    concurrency.ALIASES.update(aliases)
    _state._on_app_finalizers.intersection_update(shared)


def test_an_app_speaks_through_our_seams(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        assert isinstance(app.amqp, LedgerAMQP)
        assert isinstance(app.control, LedgerControl)
        assert isinstance(app.backend, LedgerBackend)
        assert isinstance(app.celeriac, Engine)
        assert app.celeriac.settings.data_dir == tmp_path


def test_an_app_takes_doorbells_and_no_pickle(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        assert sorted(app.conf.accept_content) == [CONTENT_TYPE, "json"]


def test_making_an_app_touches_neither_ledger_nor_broker(tmp_path: Path) -> None:
    # Nobody listens there, and no folder may be made by an import.
    folder = tmp_path / "data"

    with open_app(folder, broker_url="redis://127.0.0.1:1/0"):
        pass

    assert not folder.exists()


@pytest.mark.parametrize("setting", ["task_serializer", "result_serializer", "event_serializer"])
def test_an_app_that_writes_pickle_is_refused(settings: Settings, setting: str) -> None:
    app = Celery("theirs", broker="memory://", set_as_current=False)
    app.conf[setting] = "pickle"

    with pytest.raises(SettingsError, match=f"{setting} is 'pickle'"):
        install(app, settings)
    app.close()


@pytest.mark.parametrize("word", ["pickle", "application/x-python-serialize"])
def test_an_app_that_reads_pickle_is_refused(settings: Settings, word: str) -> None:
    app = Celery("theirs", broker="memory://", set_as_current=False)
    app.conf.accept_content = ["json", word]

    with pytest.raises(SettingsError, match="accept_content"):
        install(app, settings)
    app.close()


def test_an_existing_app_keeps_its_broker_and_its_tasks(settings: Settings) -> None:
    app = Celery("theirs", broker="memory://theirs", set_as_current=False)

    @app.task(name="theirs.add")
    def add() -> None: ...

    # Looked at before, as by their own code: it must not keep Celery's seams.
    _ = app.amqp, app.control

    assert install(app, settings) is app
    assert app.conf.broker_url == "memory://theirs"
    assert "theirs.add" in app.tasks
    assert isinstance(app.amqp, LedgerAMQP)
    assert isinstance(app.control, LedgerControl)
    app.celeriac.close()
    app.close()


@pytest.mark.parametrize(
    ("pool", "name"),
    [
        ("prefork", "ProcessPool"),
        ("processes", "ProcessPool"),
        ("solo", "SoloPool"),
        ("threads", "ThreadsPool"),
    ],
)
def test_celerys_pool_names_select_ours(tmp_path: Path, pool: str, name: str) -> None:
    with open_app(tmp_path):
        assert concurrency.get_implementation(pool).__name__ == name


@pytest.mark.parametrize("pool", ["eventlet", "gevent"])
def test_a_pool_we_do_not_have_says_which_ones_there_are(tmp_path: Path, pool: str) -> None:
    with open_app(tmp_path):
        refused = concurrency.get_implementation(pool)

        with pytest.raises(ImproperlyConfigured, match="--pool=processes, threads or solo"):
            refused(app=None)


def test_windows_has_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with open_app(tmp_path):
        chosen = [concurrency.get_implementation(each) for each in ("prefork", "processes", "solo")]

    assert [each.__name__ for each in chosen] == ["ThreadsPool", "ThreadsPool", "SoloPool"]


def test_a_shared_task_means_the_app_that_was_made(tmp_path: Path) -> None:
    @shared_task(name="unit.shared")
    def shared() -> None: ...

    with open_app(tmp_path) as app:
        assert app.tasks["unit.shared"].app is app
        # Also in a thread of a web server, which has no current app of its own.
        assert _state.default_app is app


def test_settings_are_read_from_the_environment_when_none_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", "memory://here")
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path))

    app = create_celery(name="unit")

    assert app.conf.broker_url == "memory://here"
    assert app.celeriac.settings.data_dir == tmp_path
    app.close()


def test_the_clock_of_an_app_is_utc(tmp_path: Path) -> None:
    with open_app(tmp_path) as app:
        facts: Any = app.conf

        assert (facts.enable_utc, facts.timezone) == (True, "UTC")
        assert facts.task_acks_late
        assert facts.task_default_queue == "default"
