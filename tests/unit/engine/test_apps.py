from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery
from celery.signals import celeryd_init

from celeriac.engine.apps import find_app, serve_own_queues
from celeriac.errors import SettingsError
from celeriac.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget modules and signal receivers that a test brought in."""
    known, receivers = set(sys.modules), list(celeryd_init.receivers)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    celeryd_init.receivers[:] = receivers
    for name in set(sys.modules) - known:
        # A shared task stays known to every app of the process: its module may not come twice.
        if not name.startswith("celeriac."):
            del sys.modules[name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", broker_url="memory://")


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


TASKS = """
from celeriac import task

@task(name="{name}", queue="packing")
def pack(parcel: str) -> str:
    return parcel
"""


def names_of(app: Celery) -> set[str]:
    app.loader.import_default_modules()
    return {name for name in app.tasks if not name.startswith(("celery.", "celeriac."))}


def test_a_file_of_tasks_becomes_an_app_with_the_samples(
    tmp_path: Path, settings: Settings
) -> None:
    file = write(tmp_path, "shop_tasks.py", TASKS.format(name="shop.pack"))

    app = find_app(replace(settings, app=file), samples=["celeriac.samples.text"])

    assert {"shop.pack", "process"} <= names_of(app)


def test_a_file_that_is_yet_to_be_written_leaves_the_samples(
    tmp_path: Path, settings: Settings
) -> None:
    missing = replace(settings, app=str(tmp_path / "later_tasks.py"))

    assert "process" in names_of(find_app(missing, samples=["celeriac.samples.text"]))


def test_a_file_that_cannot_be_imported_leaves_the_samples_and_says_why(
    tmp_path: Path, settings: Settings
) -> None:
    file = write(tmp_path, "broken_tasks.py", "x = 1\nthis is no python\n")

    app = find_app(replace(settings, app=file), samples=["celeriac.samples.text"])

    assert "process" in names_of(app)
    (problem,) = app.loader.problems
    assert (problem.file, problem.line) == (file, 2)


def test_an_app_in_a_file_is_taken_as_it_is(tmp_path: Path, settings: Settings) -> None:
    file = write(
        tmp_path,
        "own_app.py",
        "from celery import Celery\nmine = Celery('mine', broker='memory://')\n",
    )

    app = find_app(replace(settings, app=file), samples=["celeriac.samples.text"])

    assert app.main == "mine"
    assert app.celeriac.settings.app == file


def test_an_existing_app_is_moved_onto_the_ledger_and_the_broker_that_is_named(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proj").mkdir()
    write(tmp_path / "proj", "__init__.py", "")
    write(
        tmp_path / "proj",
        "celery.py",
        "from celery import Celery\napp = Celery('proj', broker='redis://old')\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CELERIAC_BROKER_URL", "memory://")

    app = find_app(replace(settings, app="proj.celery:app"))
    again = find_app(replace(settings, app="proj"))

    assert app is again
    assert app.main == "proj"
    assert app.conf.broker_url == "memory://"
    assert app.celeriac.ledger.tasks is not None
    app.celeriac.close()


@pytest.mark.parametrize("name", ["no_such_module:app", "celeriac.settings:nothing", "json:dumps"])
def test_an_app_that_is_none_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match=f"CELERIAC_APP is '{name}'"):
        find_app(replace(settings, app=name))


def test_what_an_app_itself_fails_to_import_is_told_where_it_happened(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "half_app.py", "import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        find_app(replace(settings, app="half_app:app"))


def test_a_worker_that_is_told_no_queues_serves_those_of_every_task(
    tmp_path: Path, settings: Settings
) -> None:
    file = write(tmp_path, "queue_tasks.py", TASKS.format(name="shop.wrap"))
    app = find_app(replace(settings, app=file))
    names_of(app)
    serve_own_queues(app)

    celeryd_init.send(sender="celery@host")

    # Tasks of other modules in this process may bring more.
    assert {"default", "high_priority", "packing"} <= set(app.amqp.queues.consume_from)
