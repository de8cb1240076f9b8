"""Chords that are sent here: a row that counts the header's parts, and a place for the body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from celery.result import GroupResult

from celeriac.core.outcome import NewChord
from celeriac.engine import codec
from celeriac.engine.amqp import belongs_to_end
from celeriac.engine.collector import current_collector
from celeriac.engine.lots import current_lot
from celeriac.engine.messages import placeholders
from celeriac.files.keeping import keeping


def make_chord_known(app: Any, header: GroupResult, body: Any) -> None:
    """Write a chord down, or have it written, before the first task of its header is sent."""
    queue = _queue_of(app, body)
    with keeping(app.celeriac.files):
        written = codec.dump_typed({"body": dict(body), "header": header.as_tuple()})
    chord = NewChord(
        id=header.id,
        size=sum(1 for _ in leaves(header.as_tuple())),
        body=written,
        queue=queue,
    )
    waiting = placeholders(body, upstream_id=header.id, queue=queue)
    collector = current_collector()
    # A chord that a task sends in its body, for itself, stands at once; one that takes the task's
    # place, or follows it, stands when the task ends.
    if collector is not None and belongs_to_end(collector, waiting):
        collector.chords.append(chord)
        collector.continuations.extend(waiting)
    elif (lot := current_lot()) is not None:
        lot.add_chord(chord, waiting)
    else:
        app.celeriac.road.submit(waiting, (chord,))


def leaves(result: Any) -> Iterator[str]:
    """Yield the ids of the tasks under a result, written as Celery does: ((id, parent), parts)."""
    (task_id, _), parts = result
    if parts is None:
        yield task_id
    else:
        for part in parts:
            yield from leaves(part)


def _queue_of(app: Any, body: Any) -> str:
    queue = (body.get("options") or {}).get("queue")
    return queue if isinstance(queue, str) else str(app.amqp.default_queue.name)
