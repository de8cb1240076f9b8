"""What an app has once Celeriac is installed on it: its settings, its ledger, its roads."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.core.outcome import Ended
from celeriac.core.task import TaskId
from celeriac.core.trouble import Trouble
from celeriac.engine.broker import is_in_process, is_redis
from celeriac.engine.changes import Changes, NoChanges
from celeriac.engine.local_broker import locate
from celeriac.engine.notices import Notices, create_notices
from celeriac.engine.notices_here import NoNotices, NoticesHere
from celeriac.engine.publisher import Publisher
from celeriac.engine.road import LedgerRoad, Road
from celeriac.engine.signing import KEY_SETTING, Signer, new_key
from celeriac.engine.strand import is_async
from celeriac.errors import LedgerUnavailableError
from celeriac.files.store import FileStore, FolderStore
from celeriac.settings import Settings
from celeriac.telemetry import Counters

if TYPE_CHECKING:
    # Imported when the ledger is opened: a third of what an app imports, and Flower never does.
    from celeriac.ledger.open import Ledger


class Engine:
    """Everything that belongs to one app in one process, opened when it is first used."""

    def __init__(self, app: Any, settings: Settings, *, adopts: bool = False) -> None:
        """Prepare; nothing is opened before it is used.

        Args:
            app: The Celery app.
            settings: How it shall run.
            adopts: Whether it is an app that others send to with plain Celery: their messages are
                taken in, and an unknown id is PENDING.
        """
        self.settings = settings
        # A word for this start of the process.
        self.started = secrets.token_hex(8)
        self.adopts = adopts
        # The worker's command line may say otherwise.
        self.async_slots = settings.async_slots
        self.counters = Counters()
        # Shared by all processes of the service, children too: it needs no connection.
        self.files: FileStore = FolderStore(settings.files_folder)
        # Redis serves 0 first; AMQP and the ledger serve 9 first.
        self.is_zero_first = is_redis(app)
        self.changes: Changes | NoChanges = Changes(app)
        self.publisher = Publisher(
            app,
            self.counters,
            is_zero_first=self.is_zero_first,
            tell=lambda ids: self.changes.tell(ids),
        )
        self.signer = Signer(lambda: self.ledger.settings.put_first(KEY_SETTING, new_key()))
        self.notices: Notices | NoticesHere | NoNotices = (
            NoticesHere()
            if is_in_process(app)
            else create_notices(app, keep=settings.result_cache, signer=self.signer, adopts=adopts)
        )
        self.road: Road = LedgerRoad(
            lambda: self.ledger, self.publisher.ring, self.tell_ended, self.notices.show
        )
        self._app = app
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._background: Any = None
        # Asked for every task: Celery takes a lock to say which tasks there are.
        self._is_async: dict[str, bool] = {}
        self._is_tracked: dict[str, bool] = {}
        self._is_nine_first: dict[str, bool] = {}
        self._to_cancel: deque[TaskId] = deque()
        # Called when a task is to be cancelled soon; a worker's pool hangs its thread here.
        self.on_cancel: Callable[[], None] = lambda: None
        # Called with the attempts that went wrong in a worker; None where nobody looks on.
        self.on_trouble: Callable[[Sequence[Trouble]], None] | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened and migrated on first use.

        Raises:
            LedgerUnavailableError: The database is away.
        """
        with self._lock:
            if self._ledger is None:
                from celeriac.ledger.open import open_ledger

                self._ledger = open_ledger(
                    self.settings.ledger_url, ring_again=self.settings.ring_again
                )
            return self._ledger

    def is_zero_first_for(self, name: str) -> bool:
        """Whether a priority that Celery speaks of for a task function has 0 as the first.

        A plain Celery task means what its broker means; a typed one always has 9 first.
        """
        if not self.is_zero_first:
            return False
        found = self._is_nine_first.get(name)
        if found is None:
            task = self._app.tasks.get(name)
            if task is None:
                return True
            found = self._is_nine_first[name] = getattr(task, "is_nine_first", False)
        return not found

    def is_async(self, name: str) -> bool:
        """Whether a task function is an `async def`, so that many run at a time."""
        found = self._is_async.get(name)
        if found is None:
            task = self._app.tasks.get(name)
            if task is None:
                return False
            found = self._is_async[name] = is_async(task)
        return found

    def is_tracked(self, name: str) -> bool:
        """Whether Celery would show of a task function that it has begun: `track_started`."""
        known = self._is_tracked.get(name)
        if known is None:
            known = self._is_tracked[name] = bool(
                getattr(self._app.tasks.get(name), "track_started", False)
            )
        return known

    def is_at_most_once(self, name: str) -> bool:
        """Whether a task function must never be run a second time."""
        task = self._app.tasks.get(name)
        own = getattr(task, "at_most_once", None)
        if task is not None and own is None:
            # What Celery's early acknowledgement promises.
            return not task.acks_late
        return bool(own)

    def locate_broker(self) -> str:
        """Return the URL under which the broker is now: an `up` beside us may have moved it."""
        return locate(self._app, self.settings)

    def cancel_soon(self, task_id: TaskId) -> None:
        """Have a task cancelled by whoever looks after the ledger in this process.

        Celery's worker calls this in its event loop, which must not wait for a database.
        """
        self._to_cancel.append(task_id)
        self.on_cancel()

    def take_cancellations(self) -> list[TaskId]:
        """Return the tasks that were to be cancelled soon, once."""
        taken: list[TaskId] = []
        while self._to_cancel:
            taken.append(self._to_cancel.popleft())
        return taken

    def put_back_cancellations(self, task_ids: Sequence[TaskId]) -> None:
        """Have tasks cancelled later: the ledger is away."""
        self._to_cancel.extend(task_ids)

    def tell_ended(self, ended: Sequence[Ended]) -> None:
        """Tell those who wait for tasks, and those who watch, that they have ended."""
        self.notices.tell(ended)
        if ended:
            self.changes.tell((), ended)

    def tell_missed(self) -> None:
        """Tell again of ends that may have been told to nobody, now that the broker is there.

        Only of an app with plain Celery clients: they look into the broker alone, and would wait
        for ever. All others look into the ledger.

        Raises:
            LedgerUnavailableError: The ledger did not answer; it is tried again.
        """
        since = self.notices.take_missed() if self.adopts else None
        if since is None:
            return
        try:
            is_told = all(map(self.notices.tell, self.ledger.sweeps.ended_since(since)))
        except LedgerUnavailableError:
            self.notices.miss(since)
            raise
        if not is_told:
            self.notices.miss(since)

    def start_background(self) -> None:
        """Start the janitor of this process: it works when no other process leads."""
        from celeriac.engine.janitor import Janitor

        if self._background is None:
            self._background = Janitor(self._app)
            self._background.start()

    def stop_background(self) -> None:
        """Stop the janitor of this process."""
        background, self._background = self._background, None
        if background is not None:
            background.stop()

    def close(self) -> None:
        """Close every connection this process holds."""
        self.stop_background()
        self.publisher.close()
        self.notices.close()
        self.changes.close()
        with self._lock:
            ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def become_child(self, road: Road) -> None:
        """Let go of everything that belongs to the parent, after a fork."""
        if self._ledger is not None:
            self._ledger.forget_connections()
        self._lock = threading.Lock()
        self.road = road
        self.notices = NoNotices()
        self.changes = NoChanges()
