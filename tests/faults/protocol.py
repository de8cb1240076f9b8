"""A model of the protocol that keeps one task: every reachable state, breadth first.

One task, two workers, a janitor that looks and writes in two steps, and a budget of faults. Every
function of this module yields the states that one atomic step can lead to. It knows nothing of the
code it stands for; each guard of `Guards` stands for one WHERE clause or one order of two lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

FINAL = ("completed", "cancelled", "failed")


@dataclass(frozen=True)
class Guards:
    """What the protocol checks; every one may be taken away."""

    # 202 is sent after the commit, not before.
    commit_before_answer: bool = True
    # A claim matches only a queued row.
    claim_needs_queued: bool = True
    # A completion matches only a running row …
    completion_needs_running: bool = True
    # … and only under the token of this very claim.
    completion_needs_token: bool = True
    # The janitor's write matches only what it saw.
    janitor_compares: bool = True
    # The janitor rings again for queued rows.
    sweep: bool = True
    # How the task's effect is made: "transaction" together with the completion, "keyed" outside
    # under the task's id, "external" outside without a key, "once" the same but never run again.
    effect: str = "transaction"


class Worker(NamedTuple):
    """One worker: idle, popped (has a doorbell), holding (has claimed) or ran (effect made)."""

    phase: str = "idle"
    token: int = 0


class Faults(NamedTuple):
    """How many faults of each kind may still happen."""

    kills: int = 2
    api_kills: int = 1
    duplicates: int = 1
    wipes: int = 1
    suspicions: int = 1
    cancels: int = 1


class State(NamedTuple):
    """Everything there is: client, ledger, broker, workers, janitor, and what was observed."""

    is_answered: bool = False
    api: str = "ready"
    row: str = "none"
    token: int = 0
    claims: int = 0
    is_cancel_asked: bool = False
    doorbells: int = 0
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    # The token of the row that the janitor is about to give back; 0 is none.
    seen: int = 0
    faults: Faults = Faults()
    effects: int = 0
    interruptions: int = 0
    # The first broken promise that a step itself could see.
    broken: str = ""


def steps(at: State, guards: Guards) -> Iterator[State]:
    """Yield what the protocol itself does next, without any fault."""
    yield from _api(at, guards)
    yield from _janitor(at, guards)
    for index, worker in enumerate(at.workers):
        for state, changed in _worker(at, worker, guards):
            yield state._replace(workers=_pair(at, index, changed))


def _api(at: State, guards: Guards) -> Iterator[State]:
    answered = at._replace(is_answered=True)
    committed = at._replace(row="queued")
    if at.api == "ready":
        first = committed if guards.commit_before_answer else answered
        yield first._replace(api="half")
    elif at.api == "half":
        second = answered if guards.commit_before_answer else committed
        yield second._replace(api="done", doorbells=at.doorbells + 1)


def _janitor(at: State, guards: Guards) -> Iterator[State]:
    if guards.sweep and at.row == "queued" and at.doorbells == 0:
        yield at._replace(doorbells=1)
    is_orphaned = at.row == "running" and at.token not in {worker.token for worker in at.workers}
    if is_orphaned and not at.seen:
        yield at._replace(seen=at.token)
    if at.seen:
        yield _give_back(at, guards)._replace(seen=0)


def _give_back(at: State, guards: Guards) -> State:
    if guards.janitor_compares and (at.row, at.token) != ("running", at.seen):
        return at
    if guards.effect == "once":
        return _end(at, "failed")
    broken = at.broken or ("a final state changed" if at.row in FINAL else "")
    return at._replace(row="queued", token=0, broken=broken)


def _worker(at: State, worker: Worker, guards: Guards) -> Iterator[tuple[State, Worker]]:
    if worker.phase == "idle" and at.doorbells:
        yield at._replace(doorbells=at.doorbells - 1), Worker("popped")
    elif worker.phase == "popped":
        is_due = at.row == "queued" if guards.claim_needs_queued else at.row not in ("none", *FINAL)
        if is_due:
            token = at.claims + 1
            yield at._replace(row="running", token=token, claims=token), Worker("holding", token)
        else:
            yield at, Worker()
    elif worker.phase == "holding":
        effects = at.effects + (guards.effect in ("external", "once"))
        if guards.effect == "keyed":
            effects = 1
        yield at._replace(effects=effects), worker._replace(phase="ran")
        if at.is_cancel_asked and (at.row, at.token) == ("running", worker.token):
            yield _end(at, "cancelled"), Worker()
    elif worker.phase == "ran":
        yield _complete(at, worker, guards), Worker()


def _complete(at: State, worker: Worker, guards: Guards) -> State:
    if at.row == "none" or (guards.completion_needs_running and at.row != "running"):
        return at
    if guards.completion_needs_token and at.token != worker.token:
        return at
    effects = at.effects + (guards.effect == "transaction")
    is_stale = at.row == "running" and at.token != worker.token
    stale = "a stale attempt overwrote a newer one" if is_stale else ""
    return _end(at._replace(effects=effects, broken=at.broken or stale), "completed")


def _end(at: State, final: str) -> State:
    broken = at.broken or ("a final state changed" if at.row in FINAL else "")
    return at._replace(row=final, token=0, broken=broken)


def faults(at: State) -> Iterator[State]:
    """Yield what can go wrong next."""
    left = at.faults
    if left.api_kills and at.api != "done":
        yield at._replace(api="done", faults=left._replace(api_kills=left.api_kills - 1))
    if left.duplicates and at.doorbells:
        fewer = left._replace(duplicates=left.duplicates - 1)
        yield at._replace(doorbells=at.doorbells + 1, faults=fewer)
    if left.wipes and at.doorbells:
        yield at._replace(doorbells=0, faults=left._replace(wipes=left.wipes - 1))
    if left.suspicions and at.row == "running" and not at.seen:
        fewer = left._replace(suspicions=left.suspicions - 1)
        yield at._replace(seen=at.token, faults=fewer, interruptions=at.interruptions + 1)
    if left.cancels and at.row in ("queued", "running"):
        fewer = left._replace(cancels=left.cancels - 1)
        asked = at._replace(is_cancel_asked=True, faults=fewer)
        yield _end(asked, "cancelled") if at.row == "queued" else asked
    for index, worker in enumerate(at.workers):
        if left.kills and worker.phase != "idle":
            fewer = left._replace(kills=left.kills - 1)
            interruptions = at.interruptions + (worker.phase != "popped")
            pair = _pair(at, index, Worker())
            yield at._replace(faults=fewer, interruptions=interruptions, workers=pair)


def _pair(at: State, index: int, changed: Worker) -> tuple[Worker, Worker]:
    # The two are alike, so their order is no difference: half as many states.
    other = at.workers[1 - index]
    return (changed, other) if changed < other else (other, changed)


def broken_promise(at: State) -> str:
    """Return what is wrong with one state, empty when nothing is."""
    if at.broken:
        return at.broken
    if at.effects > 1:
        return "two effects"
    if at.row == "completed" and at.effects != 1:
        return "completed without its effect"
    if at.claims > 1 + at.interruptions:
        return "run again although nothing was interrupted"
    return ""


def explore(guards: Guards, *, until: str = "") -> tuple[int, set[str]]:
    """Return how many states can be reached and every promise that is broken in one of them.

    Args:
        guards: What the protocol checks.
        until: The promise that is asked about: once it is broken nothing more is looked at.
    """
    start = State()
    seen = {start}
    ahead = deque([start])
    broken: set[str] = set()
    before: dict[State, list[State]] = {}
    while ahead:
        state = ahead.popleft()
        promise = broken_promise(state)
        if promise:
            # What follows from a broken state says nothing new.
            broken.add(promise)
            if promise == until:
                break
            continue
        own = list(steps(state, guards))
        for following in own:
            before.setdefault(following, []).append(state)
        for following in (*own, *faults(state)):
            if following not in seen:
                seen.add(following)
                ahead.append(following)
    if until not in broken and _stuck(seen, before):
        broken.add("accepted, then stuck for ever")
    return len(seen), broken


def _stuck(seen: set[State], before: dict[State, list[State]]) -> bool:
    # Backwards from every good end, over steps that need no fault: what is not met cannot end.
    ahead = [state for state in seen if state.row in FINAL or broken_promise(state)]
    can_end = set(ahead)
    while ahead:
        for state in before.get(ahead.pop(), ()):
            if state not in can_end:
                can_end.add(state)
                ahead.append(state)
    return any(state.is_answered and state not in can_end for state in seen)
