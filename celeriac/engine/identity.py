"""Who a worker is, and whether the process behind a worker still lives on this machine."""

from __future__ import annotations

import os
import secrets
import socket
import uuid
from pathlib import Path

from celeriac.core.worker import NewWorker, Worker


def machine_id() -> str:
    """Return a word for this machine since its last boot, where its process ids mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    try:
        # Containers share a boot, but not their process ids.
        return f"{boot.read_text().strip()}:{namespace.readlink()}"
    except OSError:
        return f"{socket.gethostname()}:{uuid.getnode():x}"


def process_started(pid: int) -> str:
    """Return when a process began, in ticks of the machine; empty if nobody can tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name, in brackets, may hold spaces; the state and the 22nd field stand after it.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def is_gone(worker: Worker, *, machine: str) -> bool:
    """Whether a worker's process, which lived on this machine, is proven to be gone."""
    if not worker.process_started or worker.machine != machine:
        return False
    return process_started(worker.pid) != worker.process_started


def new_worker(
    *,
    name: str,
    queues: tuple[str, ...],
    pool: str,
    slots: int,
    code_version: str = "",
    task_names: frozenset[str] | None = None,
) -> NewWorker:
    """Return what this process tells of itself when it joins as a worker."""
    pid = os.getpid()
    return NewWorker(
        id=secrets.token_hex(16),
        name=name,
        queues=queues,
        machine=machine_id(),
        pid=pid,
        process_started=process_started(pid),
        pool=pool,
        slots=slots,
        code_version=code_version,
        task_names=task_names,
    )
