"""What is wrong with an installation, and what helps: pure decisions on what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from shlex import quote

from celeriac.core.broker import BrokerFacts
from celeriac.core.nearest import did_you_mean, nearest
from celeriac.core.queue import Queue, QueuedName, command_to_serve
from celeriac.core.worker import Worker
from celeriac.service.findings import Finding, good, problem, warning
from celeriac.service.secrets import is_weak_key

# Clocks of machines that keep time differ by less.
_SKEW = timedelta(seconds=2)
_SECOND = timedelta(seconds=1)
_EVERYBODY_ELSE = 0o077
_MOST_NAMES = 3


def check_broker(facts: BrokerFacts) -> list[Finding]:
    """Return how a broker that answers is set up."""
    found = [good(f"broker    {facts.product} answers in {facts.answer_seconds * 1000:.1f} ms")]
    policy = facts.eviction_policy
    if policy is not None and policy != "noeviction":
        is_bounded = facts.most_bytes > 0
        found.append(
            (problem if is_bounded else warning)(
                "broker    may throw away what tells workers of tasks, when its memory is full"
                f" (maxmemory-policy is {policy}"
                + (")" if is_bounded else ", and no maxmemory is set yet)"),
                "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its file",
            )
        )
    elif policy is not None:
        kept = "when its memory is full it says so, and drops nothing"
        found.append(good(f"broker    {kept} (maxmemory-policy is noeviction)"))
    if facts.evicted:
        found.append(
            warning(
                f"broker    has thrown away {facts.evicted} keys since it started",
                "give it more memory; workers are told again of every task that waits",
            )
        )
    if facts.is_write_failing:
        found.append(problem("broker    cannot write to its disk", "look at its disk and its log"))
    if facts.is_persistent is not None:
        also = ", and it writes down what it holds as well" if facts.is_persistent else ""
        found.append(good(f"broker    no task is lost if it ends: the ledger keeps them{also}"))
    return found


def check_queues(queues: Sequence[Queue]) -> list[Finding]:
    """Return which queues hold tasks that nobody takes, or are paused."""
    found = []
    for queue in queues:
        tasks = "1 task waits" if queue.queued == 1 else f"{queue.queued} tasks wait"
        if queue.queued and not queue.workers:
            found.append(
                problem(
                    f"queue     {queue.name}: {tasks} and no worker serves it",
                    f"{command_to_serve(queue.name)}; or {_way_out(queue.name, queues)}",
                )
            )
        if queue.pause is not None:
            # Somebody meant it so; somebody else wonders why nothing runs.
            by, why = queue.pause.by or "the service", queue.pause.reason
            said = f"by {by}: {why}" if why else f"by {by}"
            found.append(
                warning(
                    f"queue     {queue.name}: paused {said}; {tasks}",
                    f"celeriac queues resume {quote(queue.name)}",
                )
            )
    total = sum(queue.queued for queue in queues)
    waiting = (
        "no task waits" if not total else "1 task waits" if total == 1 else f"{total} tasks wait"
    )
    return found or [good(f"queues    {waiting}; each queue has its workers, none is paused")]


def _way_out(name: str, queues: Sequence[Queue]) -> str:
    served = [each.name for each in queues if each.workers]
    meant = nearest(name, served)
    listing = f"celeriac tasks list --queue {quote(name)}"
    other = f" --queue {quote(meant[0])}" if meant else ""
    question = f"{did_you_mean(meant)} " if meant else ""
    return (
        f"{question}{listing} shows what waits, celeriac tasks cancel ID takes one away: "
        f"then submit it with{other or ' another --queue'}"
    )


def check_waiting(queues: Sequence[Queue]) -> list[Finding]:
    """Return what waits for a service that is not running; nothing when nothing does."""
    count = sum(queue.queued for queue in queues)
    if not count:
        return []
    tasks = "1 task waits, and runs" if count == 1 else f"{count} tasks wait, and run"
    return [good(f"queues    {tasks} once the service does")]


def check_names(queued: Sequence[QueuedName], workers: Sequence[Worker]) -> list[Finding]:
    """Return in which queues tasks wait that no worker of the queue has a function for.

    Args:
        queued: What is queued.
        workers: Those that have joined. A queue without any is no matter of this.
    """
    found = []
    for name in sorted({each.queue for each in queued}):
        listening = [worker for worker in workers if name in worker.queues]
        unknown = [
            each
            for each in queued
            if each.queue == name and not any(worker.knows(each.name) for worker in listening)
        ]
        if listening and unknown:
            unknown.sort(key=lambda each: -each.count)
            count = sum(each.count for each in unknown)
            tasks = "1 task waits" if count == 1 else f"{count} tasks wait"
            listed = ", ".join(f"{each.name} ({each.count})" for each in unknown[:_MOST_NAMES])
            more = len(unknown) - _MOST_NAMES
            also = f" and {more} more" if more > 0 else ""
            found.append(
                problem(
                    f"queue     {name}: {tasks} that no worker of it knows: {listed}{also}",
                    "start its workers with the code that has it; "
                    "if the name is misspelt, celeriac tasks cancel ID",
                )
            )
    return found


def check_workers(workers: Sequence[Worker], *, now: datetime, lease: timedelta) -> list[Finding]:
    """Return which workers are silent, and whose clock is wrong.

    Args:
        workers: Those that have joined.
        now: By our clock.
        lease: How long a heart may stand still.
    """
    if not workers:
        return [warning("workers   none has joined", "celeriac worker, or celeriac up")]
    found = []
    called = labels_of(workers)
    for worker in workers:
        silent = now - worker.heartbeat_at
        if silent > lease:
            found.append(
                problem(
                    f"worker    {called[worker.id]}: no heartbeat for {silent // _SECOND} s",
                    "start it again if it hangs, or set the clock of its machine",
                )
            )
        elif -silent > _SKEW:
            ahead = f"+{-silent.total_seconds():.1f} s"
            found.append(
                warning(
                    f"worker    {called[worker.id]}: its clock is at {ahead}", "run NTP on both"
                )
            )
    count = len(workers) - len(found)
    living = f"workers   {count} of {len(workers)} alive, with a clock that is right"
    return [*found, good(living)] if count else found


def check_code(workers: Sequence[Worker]) -> list[Finding]:
    """Return which workers of one queue run different code: a task gets whichever is free.

    Args:
        workers: Those that have joined; one that cannot tell its code is left out.
    """
    known = sorted(
        (each for each in workers if each.code_version), key=lambda each: each.started_at
    )
    called = labels_of(workers)
    found = []
    for position, older in enumerate(known):
        others = (
            newer
            for newer in known[position + 1 :]
            if newer.code_version != older.code_version and set(newer.queues) & set(older.queues)
        )
        newer = next(others, None)
        if newer is not None:
            found.append(
                warning(
                    f"code      {called[older.id]} has {older.code_version}, "
                    f"{called[newer.id]} has {newer.code_version}, and they share a queue",
                    f"start {called[older.id]} again, if it is the one with the old code",
                )
            )
    if found or not known:
        return found
    count = f"{len(known)} workers" if len(known) > 1 else "1 worker"
    return [good(f"code      workers of the same queue run the same code ({count})")]


def labels_of(workers: Sequence[Worker]) -> dict[str, str]:
    """Return what to call each worker, by its id: its name, and more where two have the same."""
    names = [each.name for each in workers]
    return {
        each.id: each.name
        if names.count(each.name) == 1
        else f"{each.name} (process {each.pid}, queues {', '.join(each.queues)})"
        for each in workers
    }


def check_worker(
    name: str, workers: Sequence[Worker], *, now: datetime, lease: timedelta
) -> list[Finding]:
    """Return how one worker is; an earlier start of the same name does not count.

    Args:
        name: Its node name, such as worker@host.
        workers: Those that have joined.
        now: By our clock.
        lease: How long a heart may stand still.
    """
    starts = [each for each in workers if each.name == name]
    if not starts:
        return [problem(f"worker    {name} has not joined", f"celeriac worker -n {name}")]
    latest = max(starts, key=lambda each: each.heartbeat_at)
    return check_workers([latest], now=now, lease=lease)


def check_keys(keys: Sequence[str]) -> list[Finding]:
    """Return whether the keys that were set could be guessed; nothing when none was set."""
    if not keys:
        return []
    if any(is_weak_key(key) for key in keys):
        fix = 'python -c "import secrets; print(secrets.token_urlsafe(48))" makes a good one'
        return [problem("secrets   APP_SECRET_KEY holds a key that is known or no random one", fix)]
    return [good("secrets   APP_SECRET_KEY holds random keys")]


def check_files(folder: str, *, is_writable: bool, owner: str | None, us: str | None) -> Finding:
    """Return whether files can be kept, and will be deleted when their task is gone.

    Args:
        folder: Where they lie.
        is_writable: Whether this user may write there.
        owner: Whose files lie there, by the name a ledger gave itself; None before it was asked.
        us: The name of our ledger; None when it has none yet.
    """
    if not is_writable:
        fix = "let this user write there, or set CELERIAC_FILES_DIR"
        return problem(f"files     {folder} cannot be written", fix)
    if owner and owner != us:
        fix = (
            "one folder for each ledger: set CELERIAC_FILES_DIR, or remove `ledger` from the folder"
        )
        return warning(f"files     {folder} belongs to another ledger: nothing is deleted", fix)
    return good(f"files     in {folder}")


def check_modes(modes: Mapping[str, int]) -> list[Finding]:
    """Return which files with secrets others may read; nothing when there is no such file.

    Args:
        modes: The permission bits of each file, by its name.
    """
    if not modes:
        return []
    open_to_others = sorted(name for name, mode in modes.items() if mode & _EVERYBODY_ELSE)
    found = [
        problem(f"secrets   {name} can be read by others", f"chmod go= {name}")
        for name in open_to_others
    ]
    return found or [good(f"secrets   no other user can read the files they are in ({len(modes)})")]
