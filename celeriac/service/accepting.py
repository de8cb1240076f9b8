"""Taking in what callers submit: all that comes at the same time is written in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from celeriac.core.acceptance import Accepted, Submission
from celeriac.core.task import Doorbell
from celeriac.errors import (
    AcceptQueueFullError,
    CeleriacError,
    ConflictError,
    IdempotencyKeyInFlightError,
    InvalidRequestError,
    NotAuthenticatedError,
)
from celeriac.service.access import Bearer
from celeriac.service.batcher import Batcher, Latecomers, NotYetError
from celeriac.service.callers import Caller
from celeriac.service.singles import Single, Singles

logger = logging.getLogger(__name__)

# How long a request waits for another one with the same key, in another process, to be answered.
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
# Submitted tasks that wait to be written: a few seconds' worth on a slow disk.
DEFAULT_ROOM = 5000
_MOST_ROWS = 256
# Made while other writers of a SQLite file wait.
_MOST_LATE = 32
# What waits is in memory, and what is written together is sent together: for so many bytes of its
# arguments a task counts as one more. So no more than some 80 MB wait.
_BYTES_OF_A_TASK = 16_384
_MOST_BELLS = 1000
# More than the janitor keeps in the broker: what finds no room here is rung by it.
_ROOM_FOR_BELLS = 50_000

Make = Callable[[Caller], Submission]
Answer = Accepted | InvalidRequestError | ConflictError


class SubmissionLedger(Protocol):
    """What is used of the ledger's submissions."""

    def accept(
        self,
        submissions: Sequence[Submission],
        seen: Callable[[Sequence[Answer]], None],
        late: Callable[[], Sequence[Submission]],
    ) -> Sequence[Answer]:
        """Accept submissions in one transaction, each answered for itself.

        `seen` is called with the answers as soon as workers see the tasks. `late` may be called
        once, for what has come while the transaction waited for its turn.
        """
        ...


class HasSubmissions(Protocol):
    """A ledger, as far as accepting is concerned."""

    @property
    def submissions(self) -> SubmissionLedger:
        """Where tasks come in."""
        ...


class Publisher(Protocol):
    """What is used of the engine's publisher."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Tell the broker; a broker that is away is no error."""
        ...


class Doorman(Protocol):
    """What is used of whoever lets callers in."""

    def admit_many(self, bearers: Sequence[Bearer]) -> Sequence[Caller | NotAuthenticatedError]:
        """Return who stands behind tokens and keys, as the ledger knows them now."""
        ...


@dataclass(frozen=True, slots=True)
class _Wish:
    """Something that is to be accepted."""

    by: Caller | Bearer
    # Called when it is known who asks, and raises when they may not; or made together with others.
    what: Make | Single
    # Until when it may wait for another request with the same idempotency key.
    deadline: float


class Accepting:
    """Writes what callers submit, and rings for it once it is committed."""

    def __init__(
        self,
        ledger: HasSubmissions,
        publisher: Publisher,
        doorman: Doorman,
        singles: Singles,
        *,
        room: int,
    ) -> None:
        self._ledger = ledger
        self._singles = singles
        self._publisher = publisher
        self._doorman = doorman
        self._writer: Batcher[_Wish, Accepted] = Batcher(
            "celeriac-accept", self._write, most=_MOST_ROWS, room=room
        )
        # A thread of its own: a slow broker makes nobody wait who submits.
        self._ringer: Batcher[Sequence[Doorbell], None] = Batcher(
            "celeriac-ring", self._ring, most=_MOST_BELLS, room=_ROOM_FOR_BELLS
        )

    def put(self, by: Caller | Bearer, what: Make | Single, *, weight: int = 1) -> Future[Accepted]:
        """Have something accepted: when its answer comes, it is committed and will run.

        Args:
            by: Who asks. A token or a key is looked up together with its neighbours'.
            what: A request for one task, which may be answered as `Begun`; or returns what is to be
                accepted, told who asks, or raises what they are refused with.
            weight: As how many tasks it counts, by `weight_of`.

        Returns:
            What became of it; NotAuthenticatedError, what `what` raised, InvalidRequestError or
            ConflictError if nothing of it was accepted, and LedgerUnavailableError if nothing of
            anybody was.

        Raises:
            AcceptQueueFullError: Too much waits already.
        """
        wish = _Wish(by, what, time.monotonic() + _PATIENCE_SECONDS)
        return self._writer.put(wish, weight=weight)

    def close(self) -> None:
        """Take nothing more, and return when everything is written and rung for."""
        self._writer.close()
        self._ringer.close()

    def _write(
        self, lot: Sequence[_Wish], latecomers: Latecomers[_Wish]
    ) -> Sequence[Accepted | Exception]:
        wishes = [*lot]
        made = self._make(lot, self._admit(lot))

        def late() -> list[Submission]:
            came = latecomers(_MOST_LATE)
            if not came:
                return []
            more = self._make(came, self._admit(came))
            wishes.extend(came)
            made.extend(more)
            return [each for each in more if isinstance(each, Submission)]

        submissions = [each for each in made if isinstance(each, Submission)]
        # Rung for while the disk takes it: a worker may begin, and nobody is answered yet.
        accepted = iter(
            self._ledger.submissions.accept(submissions, self._ring_soon, late)
            if submissions
            else ()
        )
        answers = [next(accepted) if isinstance(each, Submission) else each for each in made]
        return self._have_patience(wishes, answers)

    def _make(
        self, wishes: Sequence[_Wish], callers: Sequence[Caller | NotAuthenticatedError]
    ) -> list[Submission | Exception]:
        singles = [
            (wish.what, caller)
            for wish, caller in zip(wishes, callers, strict=True)
            if isinstance(wish.what, Single) and isinstance(caller, Caller)
        ]
        together = iter(self._singles.make(singles) if singles else ())
        made: list[Submission | Exception] = []
        for wish, caller in zip(wishes, callers, strict=True):
            if not isinstance(caller, Caller):
                made.append(caller)
            elif isinstance(wish.what, Single):
                made.append(next(together))
            else:
                made.append(_made(wish.what, caller))
        return made

    def _have_patience(
        self, wishes: Sequence[_Wish], answers: Sequence[Accepted | Exception]
    ) -> Sequence[Accepted | Exception]:
        now = time.monotonic()
        patient = [
            NotYetError()
            if isinstance(answer, IdempotencyKeyInFlightError) and now < wish.deadline
            else answer
            for wish, answer in zip(wishes, answers, strict=True)
        ]
        if all(isinstance(each, NotYetError) for each in patient):
            # Nobody else is kept waiting by this.
            time.sleep(_PAUSE_SECONDS)
        return patient

    def _admit(self, wishes: Sequence[_Wish]) -> list[Caller | NotAuthenticatedError]:
        bearers = [wish.by for wish in wishes if not isinstance(wish.by, Caller)]
        admitted = iter(self._doorman.admit_many(bearers) if bearers else ())
        return [wish.by if isinstance(wish.by, Caller) else next(admitted) for wish in wishes]

    def _ring_soon(self, answers: Sequence[Answer]) -> None:
        doorbells = [
            bell for each in answers if isinstance(each, Accepted) for bell in each.doorbells
        ]
        if not doorbells:
            return
        try:
            rung = self._ringer.put(doorbells, weight=len(doorbells))
            rung.add_done_callback(_log_failure)
        except AcceptQueueFullError:
            logger.warning(
                "doorbells are left to the janitor: the broker is too slow for them",
                extra={"count": len(doorbells)},
            )

    def _ring(
        self, lot: Sequence[Sequence[Doorbell]], _latecomers: Latecomers[Sequence[Doorbell]]
    ) -> Sequence[None]:
        self._publisher.ring([bell for doorbells in lot for bell in doorbells])
        return [None] * len(lot)


def weight_of(*sizes: int) -> int:
    """Return as how many tasks some count, by the sizes of their arguments in bytes."""
    return len(sizes) + sum(sizes) // _BYTES_OF_A_TASK


def _log_failure(rung: Future[None]) -> None:
    error = rung.exception()
    if error is not None:
        logger.error("doorbells were not rung; the janitor rings for them", exc_info=error)


def _made(make: Make, caller: Caller) -> Submission | CeleriacError:
    try:
        return make(caller)
    except CeleriacError as error:
        return error
