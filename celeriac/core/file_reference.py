"""What a row holds of a file: enough to find it, to name it and to know it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

Json = Any
FileId = NewType("FileId", str)

# The member by which a JSON object is known as a file's; its value is the file's id.
MARK = "celeriac_file"
_NONE: frozenset[FileId] = frozenset()
_ID = re.compile(r"[0-9a-f]{32}")
# Behind any number of backslashes: a signature may stand in a JSON text within a JSON text.
_MARKED = re.compile(rf'(?<={MARK})(\\*"\s*:\s*\\*")([0-9a-f]{{32}})(?=\\*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A kept file, as a task's arguments or result speak of it."""

    # Random, 128 bits in hexadecimal digits: nobody finds a file by guessing.
    id: FileId
    # As its sender called it, without folders and control characters.
    name: str
    # As its sender said, or by the name.
    content_type: str
    size_bytes: int
    # Of the content, in hexadecimal digits.
    sha256: str

    def to_json(self) -> dict[str, Json]:
        """Return the reference as it stands in arguments and results."""
        return {
            MARK: self.id,
            "name": self.name,
            "content_type": self.content_type,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


def read_reference(value: Json) -> FileReference | None:
    """Return the reference that a value out of JSON is; None when it is something else."""
    found = value.get(MARK) if isinstance(value, Mapping) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        return None
    try:
        return FileReference(
            id=FileId(found),
            name=str(value["name"]),
            content_type=str(value["content_type"]),
            size_bytes=int(value["size_bytes"]),
            sha256=str(value["sha256"]),
        )
    # Somebody's own object that only begins like ours.
    except (KeyError, TypeError, ValueError):
        return None


def find_file_ids(*texts: str | None) -> frozenset[FileId]:
    """Return the files that JSON texts speak of, wherever in them."""
    found = _NONE
    for text in texts:
        # Nearly every text of nearly every task ends here.
        if text is not None and MARK in text:
            found |= {FileId(each[2]) for each in _MARKED.finditer(text)}
    return found


def without_file_ids(text: str) -> str:
    """Return a JSON text in which the same files look the same, whenever they were sent."""
    return _MARKED.sub(r"\1", text) if MARK in text else text


def find_references(value: Json) -> list[FileReference]:
    """Return every reference in a value out of JSON, in order, each file once."""
    found: dict[FileId, FileReference] = {}
    _collect(value, found)
    return list(found.values())


def _collect(value: Json, found: dict[FileId, FileReference]) -> None:
    reference = read_reference(value)
    if reference is not None:
        found.setdefault(reference.id, reference)
    elif isinstance(value, Mapping):
        for each in value.values():
            _collect(each, found)
    elif isinstance(value, list | tuple):
        for each in value:
            _collect(each, found)
