"""The files that were chosen in a form of our pages, and those of the task it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from celeriac.core.file_fields import FileField
from celeriac.core.file_reference import FileId, FileReference, find_references
from celeriac.errors import FieldProblem
from celeriac.web.bodies import read_page_form
from celeriac.web.dashboard.forms import Field, Kind
from celeriac.web.dashboard.visits import FORM_TOKEN, Visit, is_from_elsewhere
from celeriac.web.multipart import Parts, boundary_of
from celeriac.web.problems import to_pointer
from celeriac.web.refusals import FormRefusedError
from celeriac.web.sending import read_form

Json = Any
_AGAIN = "Choose the file again: nothing was submitted, so it was not kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPage:
    """A form as it was sent."""

    # Each with all its values, without the form's token.
    texts: Mapping[str, list[str]]
    # By the argument's name.
    files: Mapping[str, list[FileReference]] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[FileId]:
        """The files that came with it."""
        return frozenset(each.id for several in self.files.values() for each in several)

    @property
    def said(self) -> dict[str, list[str]]:
        """All it says, the same whenever the same was sent."""
        hashes = {name: [each.sha256 for each in several] for name, several in self.files.items()}
        return {**self.texts, **hashes}


async def read_page(request: Request, visit: Visit, fields: Sequence[Field]) -> SentPage:
    """Return a form that one of our pages sent, its files kept.

    Raises:
        FormRefusedError: It comes from elsewhere, or was made for another session.
        MediaTypeError, BodyTooLargeError, BrokenBodyError, InvalidBodyError: As read_page_form.
        FilesUnavailableError: A file cannot be kept.
    """
    if is_from_elsewhere(request):
        raise FormRefusedError
    boundary = boundary_of(request.headers.get("content-type", ""))
    if boundary is None:
        texts = await read_page_form(request)
        _check_token(visit, texts)
        return SentPage(texts=texts)
    wanted = {
        each.key: FileField(is_many=each.is_many, accept=each.accept)
        for each in fields
        if each.kind is Kind.FILE
    }

    def check(found: Parts) -> None:
        # It stands first in the form: nobody else's file comes as far as the disk.
        _check_token(visit, _texts_of(found))

    found = await read_form(request, boundary, wanted, before_file=check)
    texts = _texts_of(found)
    _check_token(visit, texts)
    named = {each.key: each.name for each in fields}
    return SentPage(
        texts=texts, files={named[key]: several for key, several in found.files.items()}
    )


def add_files(
    kwargs: dict[str, Json],
    fields: Sequence[Field],
    chosen: Mapping[str, list[FileReference]],
    earlier: Mapping[str, Json],
) -> frozenset[FileId]:
    """Put files among the arguments, and return all that may stand there.

    One that was typed as JSON is none of them: its id may have been seen somewhere.

    Args:
        kwargs: The arguments, to be added to.
        fields: The form's fields.
        chosen: The files that came with the form.
        earlier: The arguments of the task it was made from: its files stand in where none came.
    """
    for each in fields:
        if each.kind is not Kind.FILE:
            continue
        several = [reference.to_json() for reference in chosen.get(each.name, ())]
        if several:
            kwargs[each.name] = several if each.is_many else several[0]
        elif find_references(earlier.get(each.name)):
            kwargs[each.name] = earlier[each.name]
    own = [*(each for several in chosen.values() for each in several), *find_references(earlier)]
    return frozenset(reference.id for reference in own)


def to_choose_again(
    chosen: Mapping[str, list[FileReference]], problems: Sequence[FieldProblem]
) -> tuple[FieldProblem, ...]:
    """Return what is to be said of files that came with a form in which something was wrong."""
    wrong = {each.pointer for each in problems}
    said = (FieldProblem(to_pointer(name), _AGAIN) for name in chosen)
    return tuple(each for each in said if each.pointer not in wrong)


def _texts_of(found: Parts) -> dict[str, list[str]]:
    return {name: [each.value for each in several] for name, several in found.texts.items()}


def _check_token(visit: Visit, texts: dict[str, list[str]]) -> None:
    if not visit.is_token("".join(texts.pop(FORM_TOKEN, []))):
        raise FormRefusedError(texts)
