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
from celeriac.web.dashboard.forms import ARGUMENT, Field, Kind
from celeriac.web.dashboard.visits import FORM_TOKEN, Visit, is_from_elsewhere
from celeriac.web.multipart import Parts, boundary_of
from celeriac.web.problems import to_pointer
from celeriac.web.refusals import FormRefusedError
from celeriac.web.sending import read_form

Json = Any
_AGAIN = "Choose {} again: a file is kept only once its task is submitted"


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
    def file_names(self) -> dict[str, list[str]]:
        """What the files were called, by the field's key."""
        return {
            f"{ARGUMENT}{name}": [each.name for each in several]
            for name, several in self.files.items()
        }

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

    def is_ours(found: Parts) -> bool:
        # It stands first in the form: nobody else's file comes as far as the disk.
        return visit.is_token("".join(_texts_of(found).get(FORM_TOKEN, [])))

    found = await read_form(request, boundary, wanted, is_to_keep=is_ours)
    texts = _texts_of(found)
    if found.unkept:
        texts.pop(FORM_TOKEN, None)
        raise FormRefusedError({**texts, **found.unkept})
    _check_token(visit, texts)
    named = {each.key: each.name for each in fields}
    return SentPage(
        texts=texts, files={named[key]: several for key, several in found.files.items()}
    )


async def read_typed(request: Request) -> dict[str, list[str]]:
    """Return the texts of a form whose sender is not known, and the names of its files.

    The files themselves are thrown away as they come.

    Raises:
        MediaTypeError, BodyTooLargeError, BrokenBodyError, InvalidBodyError: As read_page_form.
    """
    boundary = boundary_of(request.headers.get("content-type", ""))
    if boundary is None:
        return await read_page_form(request)
    found = await read_form(request, boundary, {}, is_to_keep=lambda _: False)
    return {**_texts_of(found), **found.unkept}


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
    fields: Sequence[Field],
    names: Mapping[str, Sequence[str]],
    problems: Sequence[FieldProblem] = (),
) -> tuple[FieldProblem, ...]:
    """Return what is to be said of files that came with a form of which nothing was submitted.

    Args:
        fields: The form's fields.
        names: What the files were called, by the field's key.
        problems: What is wrong with it; a file that is wrong itself needs no more words.
    """
    wrong = {each.pointer for each in problems}
    found = []
    for each in fields:
        several = [name for name in names.get(each.key, ()) if name]
        if each.kind is Kind.FILE and several and to_pointer(each.name) not in wrong:
            told = _AGAIN.format(" and ".join(several))
            found.append(FieldProblem(to_pointer(each.name), told))
    return tuple(found)


def _texts_of(found: Parts) -> dict[str, list[str]]:
    return {name: [each.value for each in several] for name, several in found.texts.items()}


def _check_token(visit: Visit, texts: dict[str, list[str]]) -> None:
    if not visit.is_token("".join(texts.pop(FORM_TOKEN, []))):
        raise FormRefusedError(texts)
