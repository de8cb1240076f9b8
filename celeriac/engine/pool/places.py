"""Which child gets the next job."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

from celeriac.engine.pool.handle import Child


class Places:
    """The room that children of one kind have, given away job by job."""

    def __init__(self, children: Sequence[Child], most: int) -> None:
        """Look what room there is.

        Args:
            children: Those that can be handed something.
            most: Jobs that one of them may have.
        """
        self._children = children
        rooms = [child.room(most) for child in children]
        # The next one first: whether it is full, how many it has, which one it is, its room.
        self._heap = [
            (room < 1, len(child.jobs), number, room)
            for number, (child, room) in enumerate(zip(children, rooms, strict=True))
        ]
        heapify(self._heap)

    def take(self) -> Child:
        """Return the child with the fewest jobs, which gets the next one.

        One without room only when there is none left.
        """
        _, jobs, number, room = self._heap[0]
        heapreplace(self._heap, (room < 2, jobs + 1, number, room - 1))
        return self._children[number]
