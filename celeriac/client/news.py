"""A task's news as they stand on the wire: Server-Sent Events, each with the task as it is then."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from celeriac.client.remote_task import RemoteTask

_EVENT, _DATA = "event: ", "data: "


def read_news(lines: Iterable[str]) -> Iterator[RemoteTask | None]:
    """Yield what each line brings: a task, or None for a line that tells of none.

    So whoever reads has a say after the service's signs of life, too. A task comes without its
    result.

    Args:
        lines: The answer's lines, without their ends.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is none of our service.
    """
    name = ""
    for line in lines:
        if line.startswith(_EVENT):
            name = line.removeprefix(_EVENT)
        if name == "task" and line.startswith(_DATA):
            yield RemoteTask.from_body(json.loads(line.removeprefix(_DATA)))
        else:
            yield None
