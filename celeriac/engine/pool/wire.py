"""What travels between a worker's parent and its children: JSON frames with their length before.

Values of the core go out as they are; coming in, each is built again field by field, so that a
child can say nothing that the core has no word for.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

import orjson
from celery import states

from celeriac.core.outcome import Ending, NewChord, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, ClaimedTask, Codec, NewTask, Task, TaskError, TaskId
from celeriac.engine.executor import Report

Json = Any

_LENGTH = struct.Struct("!I")
# Four letters or digits of JSON, taken for a length, are more than this.
_MOST_BYTES = 1 << 29
# What reading a message raises that says something else than it should.
MISREADINGS = (ValueError, LookupError, TypeError, AttributeError)
# To call an enumeration takes four times as long as to look its member up.
_CODECS: dict[str, Codec] = {each.value: each for each in Codec}
_ENDINGS: dict[str, Ending] = {each.value: each for each in Ending}


class GarbledError(Exception):
    """What came in is no message."""


def pack(message: Json) -> bytes:
    """Return a message, which may hold values of the core, as one frame.

    Raises:
        ValueError: It is larger than half a gigabyte.
    """
    body = orjson.dumps(message, default=_by_name)
    if len(body) > _MOST_BYTES:
        raise ValueError("a message between a worker and its child is too large")
    return _LENGTH.pack(len(body)) + body


def _by_name(value: Any) -> dict[str, Any]:
    # Those values of the core that are tuples go out like those that are dataclasses.
    named: dict[str, Any] = value._asdict()
    return named


class Unpacker:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Json]:
        """Take more bytes and return the messages that are whole now.

        Raises:
            GarbledError: They are no messages; neither is anything that may follow.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Json] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > _MOST_BYTES:
                raise GarbledError("a frame is too long")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            try:
                messages.append(orjson.loads(buffer[start + _LENGTH.size : end]))
            except orjson.JSONDecodeError as error:
                raise GarbledError("a frame is no JSON") from error
            start = end
        if start:
            del buffer[:start]
        return messages


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _arguments(given: Json) -> Arguments:
    return Arguments(codec=_CODECS[given["codec"]], text=given["text"])


def _error(given: Json) -> TaskError | None:
    return TaskError(**{**given, "kind": ErrorKind(given["kind"])}) if given else None


def new_task(given: Json) -> NewTask:
    """Build a new task again."""
    given["arguments"] = _arguments(given["arguments"])
    given["not_before"] = _moment(given["not_before"])
    given["expires_at"] = _moment(given["expires_at"])
    given["tags"] = tuple(given["tags"])
    return NewTask(**given)


def new_chord(given: Json) -> NewChord:
    """Build a chord again."""
    return NewChord(**given)


def outcome(given: Json) -> Outcome:
    """Build an outcome again."""
    given["ending"] = _ENDINGS[given["ending"]]
    given["finished_at"] = datetime.fromisoformat(given["finished_at"])
    given["result_codec"] = _CODECS[given["result_codec"]]
    given["error"] = _error(given["error"])
    given["resend"] = new_task(given["resend"]) if given["resend"] else None
    given["continuations"] = tuple(map(new_task, given["continuations"]))
    given["chords"] = tuple(map(new_chord, given["chords"]))
    return Outcome(**given)


def ending(task_id: TaskId, end: Outcome, report: Report) -> Json:
    """Return the message of how an attempt ended.

    Most attempts complete and nothing follows but their end: that is told in a few words.
    """
    is_plain = (
        end.ending is Ending.COMPLETED
        and report.state == states.SUCCESS
        and not (end.is_ignored or end.continuations or end.chords)
    )
    if not is_plain:
        return "done", task_id, end, report
    kept = end.result, end.result_codec, end.finished_at
    return "did", task_id, *kept, report.runtime_seconds, report.shown


def read_ending(claimed: ClaimedTask, message: Json) -> tuple[Outcome, Report]:
    """Return how a task ended that was handed over, by the message of it."""
    if message[0] == "done":
        return outcome(message[2]), Report(**message[3])
    _, _, result, result_codec, finished_at, runtime_seconds, shown = message
    completed = Outcome(
        task_id=claimed.id,
        lease_token=claimed.lease_token,
        ending=Ending.COMPLETED,
        finished_at=datetime.fromisoformat(finished_at),
        result=result,
        result_codec=_CODECS[result_codec],
    )
    return completed, Report(states.SUCCESS, runtime_seconds, shown)


_MOMENTS = (
    "created_at", "not_before", "expires_at", "started_at", "finished_at", "cancel_requested_at",
)  # fmt: skip


def task(given: Json) -> Task:
    """Build a task again."""
    given["id"] = TaskId(given["id"])
    given["arguments"] = _arguments(given["arguments"])
    given["state"] = TaskState(given["state"])
    given["result_codec"] = _CODECS[given["result_codec"]]
    given["error"] = _error(given["error"])
    given["tags"] = tuple(given["tags"])
    for field in _MOMENTS:
        given[field] = _moment(given[field])
    return Task(**given)
