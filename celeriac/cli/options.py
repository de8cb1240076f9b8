"""Options that have a twin in the environment; the option wins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from celeriac.errors import SettingsError
from celeriac.settings import Settings

# The setting behind each option.
TWINS = {
    "app": "CELERIAC_APP",
    "data": "CELERIAC_DATA_DIR",
    "host": "CELERIAC_HOST",
    "port": "CELERIAC_PORT",
    "flower_port": "CELERIAC_FLOWER_PORT",
    "concurrency": "CELERIAC_CONCURRENCY",
    "queues": "CELERIAC_QUEUES",
    "broker_url": "CELERIAC_BROKER_URL",
    "database_url": "CELERIAC_DATABASE_URL",
    "log_level": "CELERIAC_LOG_LEVEL",
}

Options = Mapping[str, str | None]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def twin_option(name: str, metavar: str, text: str) -> Decorator:
    """Return an option that stands for a setting."""
    return click.option(*_flags(name), name, metavar=metavar, help=f"{text}  [{TWINS[name]}]")


def environment_with(options: Options) -> dict[str, str]:
    """Return our environment with what the options say in the place of their twins."""
    given = {TWINS[name]: value for name, value in options.items() if value is not None}
    return {**os.environ, **given}


def settings_with(options: Options) -> Settings:
    """Read the settings from the environment and the options.

    Raises:
        SettingsError: One is broken; an option is called by its own name.
    """
    try:
        return Settings.from_environment(environment_with(options))
    except SettingsError as error:
        for name, value in options.items():
            if value is not None and TWINS[name] == error.name:
                raise SettingsError(_flags(name)[-1], error.value, error.allowed) from None
        raise


def _flags(name: str) -> tuple[str, ...]:
    flag = "--" + name.replace("_", "-")
    # As Celery calls it.
    return ("-A", flag) if name == "app" else (flag,)
