"""What travels between a worker's parent and its children: JSON frames with their length before.

Values of the core go out as they are; coming in, each is built again field by field, so that a
child can say nothing that the core has no word for.
"""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

import orjson

from celeriac.core.outcome import Ending, NewChord, Outcome
from celeriac.core.state import ErrorKind, TaskState
from celeriac.core.task import Arguments, ClaimedTask, Codec, NewTask, Task, TaskError, TaskId

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
    body = orjson.dumps(message)
    if len(body) > _MOST_BYTES:
        raise ValueError("a message between a worker and its child is too large")
    return _LENGTH.pack(len(body)) + body


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


def claimed_task(given: Json) -> ClaimedTask:
    """Build a claimed task again."""
    given["arguments"] = _arguments(given["arguments"])
    given["expires_at"] = _moment(given["expires_at"])
    given["tags"] = tuple(given["tags"])
    return ClaimedTask(**given)


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
