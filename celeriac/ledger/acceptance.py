"""What becomes of submissions that share a transaction: pure decisions, told the facts in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from celeriac.core.acceptance import (
    Accepted,
    Reservation,
    Submission,
    TaskOutcome,
    Wanted,
    WantedTask,
    invalid_batch,
)
from celeriac.core.moments import to_micros
from celeriac.core.task import Doorbell, NewTask, Task, Twin
from celeriac.errors import (
    CeleriacError,
    ConflictError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
)

Refusal = InvalidRequestError | ConflictError
# What became of a task that was put in, and its doorbell when it is queued by that.
Put = tuple[TaskOutcome, Doorbell | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What stands under a name that is taken."""

    fingerprint: str
    # What was answered; None where only a task stands for those who come later.
    answer: str | None
    # That task as it is now; None when it is no more.
    task: Task | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How the names stand that submissions want to take."""

    taken: dict[str, Taken]
    # Another transaction is about to take them.
    busy: frozenset[str]


@dataclass(frozen=True, slots=True)
class Group:
    """What one submission puts in."""

    tasks: list[NewTask | Twin]
    is_atomic: bool


@dataclass(frozen=True, slots=True)
class _Same:
    # Which of the submissions it is the second of.
    index: int


def reserved(submissions: Sequence[Submission]) -> Iterator[str]:
    """Give every name that submissions want to take."""
    for each in submissions:
        if each.once is not None:
            yield each.once.id
        for wanted in each.tasks:
            if isinstance(wanted, WantedTask) and wanted.unique is not None:
                yield wanted.unique.id


class Acceptance:
    """Decides what is put in, then what everybody is answered."""

    def __init__(self, submissions: Sequence[Submission], names: Names) -> None:
        self._submissions = submissions
        self._names = names
        # Most lots take none.
        self._takes_names = any(True for _ in reserved(submissions))
        # The first of those that come under one name.
        self._first: dict[str, int] = {}
        self._verdicts = [self._judge(index, each) for index, each in enumerate(submissions)]
        # Which of the tasks that are put in stands under a name.
        self._standing: dict[str, int] = {}
        self._count = 0
        self.groups: list[Group] = []
        # For each new submission, what stands for each of its tasks: one that is there, why there
        # is none, or the place of one that is put in.
        self._members: dict[int, list[TaskOutcome | int]] = {}
        # And the places of those that are put in by itself.
        self._own: dict[int, range] = {}
        for index, each in enumerate(submissions):
            if self._verdicts[index] is None:
                self._gather(index, each)

    def answer(self, put: Sequence[Put]) -> list[Accepted | Refusal]:
        """Return what becomes of each submission, told what became of the tasks of all groups."""
        found: list[Accepted | Refusal] = []
        for index, each in enumerate(self._submissions):
            verdict = self._verdicts[index]
            if isinstance(verdict, _Same):
                found.append(_again(found[verdict.index]))
            elif verdict is not None:
                found.append(verdict)
            else:
                found.append(self._answer_new(index, each, put))
        return found

    def names_to_keep(
        self, answers: Sequence[Accepted | Refusal], put: Sequence[Put], now: datetime
    ) -> list[dict[str, object]]:
        """Return rows of the names that are taken by this."""
        if not self._takes_names:
            return []
        rows: dict[str, dict[str, object]] = {}
        for index, members in self._members.items():
            each, answer = self._submissions[index], answers[index]
            if not isinstance(answer, Accepted) or _is_all_refused(answer):
                continue
            if each.once is not None:
                rows[each.once.id] = _row(each.once, now, answer=answer.answer)
            for wanted, member in zip(each.tasks, members, strict=True):
                # Of those who want a name, the first one's task is written under it.
                if not isinstance(member, int) or member not in self._own[index]:
                    continue
                outcome = put[member][0]
                if isinstance(wanted, WantedTask) and wanted.unique and isinstance(outcome, Task):
                    rows[wanted.unique.id] = _row(wanted.unique, now, task=outcome)
        return list(rows.values())

    def _judge(self, index: int, each: Submission) -> Accepted | Refusal | _Same | None:
        if not self._takes_names:
            return None
        if not self._names.busy.isdisjoint(reserved([each])):
            return IdempotencyKeyInFlightError()
        if each.once is None:
            return None
        taken = self._names.taken.get(each.once.id)
        if taken is not None:
            is_same = taken.fingerprint == each.once.fingerprint
            return Accepted(answer=taken.answer) if is_same else IdempotencyKeyReusedError()
        first = self._first.setdefault(each.once.id, index)
        if first == index:
            return None
        other = self._submissions[first].once
        is_same = other is not None and other.fingerprint == each.once.fingerprint
        return _Same(first) if is_same else IdempotencyKeyReusedError()

    def _gather(self, index: int, each: Submission) -> None:
        tasks: list[NewTask | Twin] = []
        begin = self._count
        self._members[index] = [self._stand_for(wanted, tasks) for wanted in each.tasks]
        self._own[index] = range(begin, self._count)
        self.groups.append(Group(tasks, each.is_atomic))

    def _stand_for(
        self, wanted: Wanted | CeleriacError, tasks: list[NewTask | Twin]
    ) -> TaskOutcome | int:
        if isinstance(wanted, CeleriacError):
            return wanted
        if isinstance(wanted, WantedTask) and wanted.unique is not None:
            taken = self._names.taken.get(wanted.unique.id)
            if taken is not None and taken.task is not None:
                return taken.task
            if wanted.unique.id in self._standing:
                return self._standing[wanted.unique.id]
            self._standing[wanted.unique.id] = self._count
        tasks.append(wanted.task if isinstance(wanted, WantedTask) else wanted)
        self._count += 1
        return self._count - 1

    def _answer_new(
        self, index: int, submission: Submission, put: Sequence[Put]
    ) -> Accepted | Refusal:
        members = self._members[index]
        outcomes = [put[each][0] if isinstance(each, int) else each for each in members]
        refused = sum(isinstance(outcome, CeleriacError) for outcome in outcomes)
        if refused and submission.is_atomic:
            return invalid_batch(outcomes)
        bells = [put[place][1] for place in self._own[index]]
        return Accepted(
            outcomes=outcomes,
            doorbells=[bell for bell in bells if bell is not None],
            answer=submission.to_answer(outcomes)
            if submission.once is not None and refused < len(outcomes)
            else None,
        )


def _again(first: Accepted | Refusal) -> Accepted | Refusal:
    if not isinstance(first, Accepted):
        return first
    # Its doorbells are rung once.
    return Accepted(outcomes=first.outcomes, answer=first.answer)


def _is_all_refused(answer: Accepted) -> bool:
    return all(isinstance(outcome, CeleriacError) for outcome in answer.outcomes)


def _row(
    name: Reservation, now: datetime, *, answer: str | None = None, task: Task | None = None
) -> dict[str, object]:
    return {
        "id": name.id,
        "fingerprint": name.fingerprint,
        "answer": answer,
        "task_id": None if task is None else task.id,
        "expires_at": to_micros(now + name.lifetime),
    }
