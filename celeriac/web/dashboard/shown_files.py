"""The files of a task as its page shows them: pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from celeriac.core.file_reference import FileReference, find_references
from celeriac.core.state import TaskState
from celeriac.core.task import Task
from celeriac.web.dashboard.texts import size
from celeriac.web.downloads import IMAGE_TYPES, with_files

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """A file among the arguments or the result."""

    name: str
    size: str
    # Where it is downloaded, and where it is shown: empty for what is no picture.
    url: str
    picture_url: str


def files_of(value: Json, task: Task) -> tuple[ShownFile, ...]:
    """Return the files in an argument or a result, in order."""
    # What was given to a task that failed may be no picture, whatever its sender called it.
    are_pictures = task.state is not TaskState.FAILED
    return tuple(
        ShownFile(
            name=each.name,
            size=size(each.size_bytes),
            url=_url(task, each),
            picture_url=(
                _url(task, each, "pictures")
                if are_pictures and each.content_type in IMAGE_TYPES
                else ""
            ),
        )
        for each in find_references(value)
    )


def with_names(value: Json) -> Json:
    """Return a value with the name of each file in its place: the file itself is shown beside."""
    return with_files(value, lambda each: each.name)


def _url(task: Task, reference: FileReference, kind: str = "files") -> str:
    return f"/ui/tasks/{quote(task.id, safe='')}/{kind}/{reference.id}"
