"""Checking what callers submit, as far as that can be done before it is known who asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeGuard

from celeriac.core.task import Arguments, Codec
from celeriac.errors import CeleriacError, InvalidRequestError, TaskNameNotFoundError
from celeriac.service.submission import SubmitRequest, check_options
from celeriac.service.task_types import Catalogue

# Stands where each of many has arguments of its own.
_NOTHING = "[[],{}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request of which all is known but who asks."""

    request: SubmitRequest
    arguments: Arguments
    queue: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Alike:
    """A checked request that is like another one in all but its arguments."""

    other: Checked
    arguments: Arguments


class Checking:
    """Holds requests against the catalogue; what is wrong is told only to those who may ask."""

    def __init__(self, catalogue: Catalogue, *, now: Callable[[], datetime]) -> None:
        self._catalogue = catalogue
        self._now = now

    def check(self, request: SubmitRequest) -> Checked | CeleriacError:
        """Check one request."""
        try:
            at = self._now()
            arguments = self._catalogue.validate(request.name, request.kwargs, files=request.files)
            queue = self._queue_of(request, at)
        except (InvalidRequestError, TaskNameNotFoundError) as error:
            return error
        return Checked(request=request, arguments=arguments, queue=queue, at=at)

    def check_many(
        self, requests: Sequence[SubmitRequest | InvalidRequestError]
    ) -> list[Checked | Alike | CeleriacError]:
        """Check many requests, in order; an error stands for what could not even be read.

        Those of one task function with the same options are checked at once.
        """
        found: list[Checked | Alike | CeleriacError | None] = [None] * len(requests)
        lots: dict[tuple[str, int], list[int]] = {}
        for place, request in enumerate(requests):
            if isinstance(request, CeleriacError):
                found[place] = request
            elif request.files or request.options.unique_for is not None:
                found[place] = self.check(request)
            else:
                # The very same options: whoever reads a batch reads equal ones once.
                lots.setdefault((request.name, id(request.options)), []).append(place)
        for places in lots.values():
            lot = [each for each in map(requests.__getitem__, places) if _is_readable(each)]
            for place, checked in zip(places, self._check_lot(lot), strict=True):
                found[place] = checked
        return [each for each in found if each is not None]

    def _check_lot(self, lot: Sequence[SubmitRequest]) -> Sequence[Checked | Alike | CeleriacError]:
        first = lot[0]
        if len(lot) == 1:
            return [self.check(first)]
        at = self._now()
        try:
            given = self._catalogue.validate_many(first.name, [each.kwargs for each in lot])
        except TaskNameNotFoundError as error:
            return [error] * len(lot)
        try:
            queue = self._queue_of(first, at)
        except InvalidRequestError as wrong:
            return [each if isinstance(each, CeleriacError) else wrong for each in given]
        nothing = Arguments(codec=Codec.JSON, text=_NOTHING)
        like = Checked(request=replace(first, kwargs={}), arguments=nothing, queue=queue, at=at)
        return [each if isinstance(each, CeleriacError) else Alike(like, each) for each in given]

    def _queue_of(self, request: SubmitRequest, at: datetime) -> str:
        check_options(request.options, now=at)
        return request.options.queue or self._catalogue.describe(request.name).queue


def _is_readable(request: SubmitRequest | InvalidRequestError) -> TypeGuard[SubmitRequest]:
    return isinstance(request, SubmitRequest)
