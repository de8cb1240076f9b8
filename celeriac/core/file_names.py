"""A file's name and content type, as far as a stranger's word for them can be taken."""

from __future__ import annotations

import mimetypes
import re

UNKNOWN_TYPE = "application/octet-stream"
_NO_NAME = "file"
_MOST_BYTES = 200
_MOST_SUFFIX_BYTES = 20
_TOKEN = r"[a-z0-9!#$&^_.+-]{1,60}"  # noqa: S105 - HTTP's word for such a word
_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}")
# Without the machine's own tables, so that a name means the same on each.
_BY_NAME = mimetypes.MimeTypes()
_BY_NAME.add_type("image/webp", ".webp")


def clean_name(text: str) -> str:
    """Return a name without folders and without what cannot be seen.

    It is shown to people and offered for a download; nothing is ever stored under it.
    """
    last = re.split(r"[/\\]", text)[-1]
    seen = "".join(" " if letter.isspace() else letter for letter in last)
    # Control characters, halves of characters, and those that turn the direction of writing: they
    # make `gnp.exe` look like a picture.
    seen = "".join(letter for letter in seen if letter.isprintable()).strip(" ")
    # Windows drops the dots at the end, and `..` is no name at all.
    return _cut(seen.rstrip(". ")) or _NO_NAME


def clean_content_type(text: str | None, name: str) -> str:
    """Return a content type without its parameters; by the name where the text says nothing."""
    said = (text or "").partition(";")[0].strip().lower()
    if said != UNKNOWN_TYPE and _TYPE.fullmatch(said):
        return said
    return _BY_NAME.guess_type(name, strict=True)[0] or UNKNOWN_TYPE


def matches_type(content_type: str, pattern: str) -> bool:
    """Whether a content type is one that a pattern such as `image/*` names."""
    wanted, _, subtype = pattern.lower().partition("/")
    kind, _, own = content_type.partition("/")
    return wanted in ("*", kind) and subtype in ("", "*", own)


def _cut(name: str) -> str:
    if len(name.encode()) <= _MOST_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MOST_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MOST_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + suffix
