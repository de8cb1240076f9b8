"""What somebody's app is configured to have, and does not have here: each with what helps.

Their team would wait for it in vain, and nothing else would tell them.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery import signals

from celeriac.engine.local_broker import is_of_up
from celeriac.settings import Settings, mask_url

logger = logging.getLogger(__name__)

_REDIS = ("redis://", "rediss://")


def tell_unheeded(app: Any, settings: Settings, *, own_broker: str) -> None:
    """Have a worker of an app say at its start what of the app's own is not heeded.

    Args:
        app: The app, moved onto the ledger.
        settings: How it runs.
        own_broker: The broker that the app itself has named; empty if it has named none.
    """
    sentences = list_unheeded(app, settings, own_broker=own_broker)

    def tell(**_: Any) -> None:
        # By now Celery has its log, and `up` shows warnings of a worker. Before it connects: the
        # broker may be away.
        for sentence in sentences:
            logger.warning(sentence)

    signals.celeryd_after_setup.connect(tell, weak=False)


def list_unheeded(app: Any, settings: Settings, *, own_broker: str) -> list[str]:
    """Return a sentence for each thing that an app has, and not here."""
    return [
        *_broker(app, settings, own_broker),
        *_schedule(app, settings),
        *_results(app, settings),
    ]


def _broker(app: Any, settings: Settings, own: str) -> list[str]:
    used = str(app.conf.broker_url or "")
    if not own or not is_of_up(settings):
        return []
    shown = mask_url(own)
    if used == own:
        if used == settings.broker_url:
            return []
        # It has called `install` itself, and keeps what it has.
        return [
            f"{settings.app} keeps its own broker, {shown}, and nobody uses that of `up`:"
            f" CELERIAC_BROKER_URL={shown} has `up` start none"
        ]
    return [
        f"what other programs send to {shown}, the broker of {settings.app}, does not come here,"
        f" to the broker of `up`: CELERIAC_BROKER_URL={shown} for `up` and the workers beside it"
        " serves that one"
    ]


def _schedule(app: Any, settings: Settings) -> list[str]:
    entries = len(app.conf.beat_schedule or ())
    if not entries or {"-B", "--beat"} & set(sys.argv):
        return []
    return [
        f"the beat_schedule of {settings.app} ({entries}) runs only while a beat does:"
        f" celery -A {settings.app.partition(':')[0]} beat, if there is none"
    ]


def _results(app: Any, settings: Settings) -> list[str]:
    place = str(app.conf.result_backend or "")
    if not place or place.startswith((*_REDIS, "disabled")):
        return []
    return [
        f"no results are written to {mask_url(place)}, the result_backend of {settings.app}:"
        " plain clients find them in a Redis alone, everybody else in the ledger"
    ]
