"""The ledger as the other rooms see it, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from celeriac.core.moments import utc_now
from celeriac.ledger.arrivals import Arrivals
from celeriac.ledger.audit import Audit
from celeriac.ledger.database import Database
from celeriac.ledger.endings import Endings
from celeriac.ledger.keys import ApiKeys
from celeriac.ledger.leases import Leases
from celeriac.ledger.queues import Queues
from celeriac.ledger.revision import bring_up_to_date, check_up_to_date
from celeriac.ledger.stored_settings import StoredSettings
from celeriac.ledger.submissions import Submissions
from celeriac.ledger.sweeps import Sweeps
from celeriac.ledger.tasks import Tasks
from celeriac.ledger.users import Users

DEFAULT_RING_AGAIN = timedelta(seconds=30)


class Ledger:
    """Where tasks are kept. Every call may come from any thread."""

    def __init__(
        self, database: Database, *, clock: Callable[[], datetime], ring_again: timedelta
    ) -> None:
        self._database = database
        arrivals = Arrivals(database)
        endings = Endings(database, arrivals)
        self.tasks = Tasks(database, arrivals, endings, clock=clock, ring_again=ring_again)
        self.submissions = Submissions(database, arrivals, clock=clock, ring_again=ring_again)
        self.leases = Leases(database, arrivals, endings, clock=clock, ring_again=ring_again)
        self.sweeps = Sweeps(database, endings, self.leases, clock=clock, ring_again=ring_again)
        self.queues = Queues(database, clock=clock)
        self.users = Users(database, clock=clock)
        self.keys = ApiKeys(database, clock=clock)
        self.audit = Audit(database, clock=clock)
        self.settings = StoredSettings(database, clock=clock)

    @property
    def is_awaited(self) -> bool:
        """Whether callers had to wait lately while this process wrote, as on SQLite they may."""
        return self._database.is_awaited

    @property
    def losses(self) -> int:
        """How often this process lost its connection to the database, for whatever reason."""
        return self._database.losses

    def ping(self) -> None:
        """Return when the database answers.

        Raises:
            LedgerUnavailableError: It did not.
        """
        self._database.read(lambda connection: connection.exec_driver_sql("SELECT 1").fetchall())

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def forget_connections(self) -> None:
        """Leave a parent's connections alone in its forked child; the next call opens new ones.

        Forks that Python knows of do this by themselves; it does no harm to do it again.
        """
        self._database.forget()


def open_ledger(
    url: str,
    *,
    clock: Callable[[], datetime] = utc_now,
    ring_again: timedelta = DEFAULT_RING_AGAIN,
) -> Ledger:
    """Open a ledger, made or brought up to date first where that is needed.

    Args:
        url: sqlite:///FILE, postgresql://… or postgres://….
        clock: What time it is.
        ring_again: How long a doorbell that nobody has answered is trusted.

    Raises:
        SettingsError: The URL is of no kind we know, or the server may lose what it has committed.
        LedgerUnavailableError: The database did not answer, or a newer Celeriac has changed it.
    """
    return _open(url, bring_up_to_date, clock=clock, ring_again=ring_again)


def open_ledger_as_it_is(url: str) -> Ledger:
    """Open a ledger to look at it; one of another version is refused and left as it is.

    Args:
        url: sqlite:///FILE of a file that is there, postgresql://… or postgres://….

    Raises:
        SettingsError: The URL is of no kind we know.
        LedgerUnavailableError: The database did not answer, or its tables are of another version.
    """
    return _open(url, check_up_to_date, clock=utc_now, ring_again=DEFAULT_RING_AGAIN)


def _open(
    url: str,
    prepare: Callable[[Database], None],
    *,
    clock: Callable[[], datetime],
    ring_again: timedelta,
) -> Ledger:
    database = Database(url)
    try:
        prepare(database)
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock=clock, ring_again=ring_again)
