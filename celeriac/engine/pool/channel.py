"""A child's end of the socket to its parent, and the road to the ledger that goes over it."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from collections.abc import Sequence
from typing import Any

from celeriac import errors
from celeriac.core.outcome import NewChord
from celeriac.core.task import ClaimedTask, NewTask, Task, TaskId
from celeriac.engine.pool import wire
from celeriac.engine.pool.async_slots import AsyncSlots
from celeriac.engine.pool.job import Job

logger = logging.getLogger(__name__)


class Channel:
    """The child's end of the socket: jobs come in, ends and questions go out.

    A thread reads, so that the parent can have back what waits behind a long task. Jobs of async
    tasks go on to their slots; all others wait for `next_job`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.async_slots: AsyncSlots | None = None
        # It takes nothing more: what still comes in goes back.
        self._is_full = False
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._write_lock = threading.Lock()
        # A task's own threads may ask, too; one question at a time has the socket.
        self._ask_lock = threading.Lock()
        self._asked = 0
        self._reader = threading.Thread(target=self._read, name="celeriac-channel", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    def next_job(self) -> Any | None:
        """Wait for a job; None when there will be no more."""
        return self._jobs.get()

    def tell(self, *message: Any) -> None:
        """Tell the parent something that needs no answer."""
        data = wire.pack(message)
        with self._write_lock:
            self._socket.sendall(data)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask the parent, and wait for its answer.

        Raises:
            CeleriacError: What the parent's ledger raised.
        """
        with self._ask_lock:
            self._asked += 1
            self.tell("call", self._asked, method, arguments)
            while True:
                answer = self._answers.get()
                # A soft limit may have cut off the wait for the answer before this one.
                if answer[1] == self._asked:
                    return _answer_of(answer)

    def close_intake(self) -> None:
        """Give back what has not begun, and whatever may still come."""
        self._is_full = True
        self._recall()
        self.tell("full")

    def _read(self) -> None:
        unpacker = wire.Unpacker()
        try:
            while data := self._socket.recv(262144):
                for message in unpacker.feed(data):
                    self._take(message)
        except ConnectionError:
            # It went without having read all that was written to it.
            logger.debug("the parent hung up")
        # The parent is gone, and with it everybody who would want to know how this ends.
        os._exit(0)

    def _take(self, message: Any) -> None:
        kind = message[0]
        if kind == "run":
            for job in message[1]:
                self._jobs.put(job)
            if self._is_full:
                self._recall()
        elif kind == "begin":
            self._begin(message)
        elif kind == "end" and self.async_slots is not None:
            self.async_slots.stop(message[1])
        elif kind == "reply":
            self._answers.put(message)
        elif kind == "recall":
            self._recall()
        elif kind == "stop":
            self._jobs.put(None)

    def _begin(self, message: Any) -> None:
        _, given, soft_seconds, hard_seconds = message
        claimed = ClaimedTask._make(given)
        if self.async_slots is None or self._is_full:
            self.tell("recalled", [claimed.id])
            return
        job = Job(claimed, None, soft_seconds=soft_seconds, hard_seconds=hard_seconds)
        self.async_slots.begin(job)

    def _recall(self) -> None:
        """Give back what has not begun; taken from the queue, it cannot begin any more."""
        recalled: list[str] = []
        is_blocked = False
        if self.async_slots is not None:
            recalled += [job.id for job in self.async_slots.give_back()]
            is_blocked = bool(recalled)
        is_over = False
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                is_over = True
            else:
                recalled.append(ClaimedTask._make(job[0]).id)
        if is_over:
            self._jobs.put(None)
        self.tell("recalled", recalled)
        if is_blocked and self.async_slots is not None:
            # Not before: the parent takes the loop for blocked from that word to this one.
            self.async_slots.call_when_free(lambda: self.tell("free"))


def _answer_of(message: Any) -> Any:
    _, _, code, value = message
    if not code:
        return value
    for error in _every_error(errors.CeleriacError):
        if error.code == code:
            raised = error.__new__(error)
            raised.args = (value,)
            raise raised
    raise errors.CeleriacError(value)


def _every_error(root: type[errors.CeleriacError]) -> list[type[errors.CeleriacError]]:
    found = [root]
    for each in root.__subclasses__():
        found.extend(_every_error(each))
    return found


class PipeRoad:
    """The road of a task in a child: over the socket to the parent, who has the ledger."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def submit(self, tasks: Sequence[NewTask], chords: Sequence[NewChord] = ()) -> None:
        """Commit tasks, then ring for those that are ready."""
        self._channel.ask("submit", tasks, chords)

    def find(self, task_ids: Sequence[TaskId]) -> dict[TaskId, Task]:
        """Return those tasks that exist."""
        found = self._channel.ask("find", task_ids)
        return {TaskId(each["id"]): wire.task(each) for each in found}

    def find_chord(self, chord_id: str) -> NewChord | None:
        """Return a chord as it was made."""
        found = self._channel.ask("find_chord", chord_id)
        return wire.new_chord(found) if found else None

    def children_of(self, task_id: TaskId) -> Sequence[TaskId]:
        """Return the ids of what a task has sent and what follows it."""
        return [TaskId(each) for each in self._channel.ask("children_of", task_id)]

    def report(self, task_id: TaskId, lease_token: str, progress: str) -> None:
        """Tell how far a running task is."""
        self._channel.tell("progress", task_id, lease_token, progress)

    def mark(self, task_id: TaskId, progress: str) -> None:
        """Tell something of another task."""
        self._channel.ask("mark", task_id, progress)

    def cancel(self, task_ids: Sequence[TaskId]) -> None:
        """Cancel those tasks that have not ended."""
        self._channel.ask("cancel", task_ids)
