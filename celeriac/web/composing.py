"""What the service's routes stand on, made of an engine."""

from __future__ import annotations

from celeriac.core.moments import utc_now
from celeriac.engine.catalogue import Catalogue
from celeriac.engine.runtime import Engine
from celeriac.engine.workers import Workers
from celeriac.ledger.audit import Audit
from celeriac.ledger.keys import ApiKeys
from celeriac.ledger.leases import Leases
from celeriac.ledger.queues import Queues
from celeriac.ledger.stored_settings import StoredSettings
from celeriac.ledger.submissions import Submissions
from celeriac.ledger.tasks import Tasks
from celeriac.ledger.users import Users
from celeriac.service.access import AccessService
from celeriac.service.first_steps import FirstSteps
from celeriac.service.keys import KeyService
from celeriac.service.password_links import PasswordLinks
from celeriac.service.passwords import MOST_HASHES_AT_ONCE, Hasher
from celeriac.service.queues import QueueService
from celeriac.service.secrets import signing_keys
from celeriac.service.sessions import Sessions
from celeriac.service.start_links import StartLinks
from celeriac.service.submitting import SubmitService
from celeriac.service.task_types import TaskTypeService
from celeriac.service.tasks import TaskService
from celeriac.service.tokens import Tokens, derive_key
from celeriac.service.users import UserService
from celeriac.web.ends import Ends
from celeriac.web.flower.upstream import Upstream
from celeriac.web.hashing import HashThreads
from celeriac.web.limits import Limiter
from celeriac.web.live.hub import Hub
from celeriac.web.page_tokens import PageTokens
from celeriac.web.parts import Limits, Parts


class LateLedger:
    """An engine's ledger, opened by whoever asks first.

    The service starts while the database is away, says 503, and works once it is back.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def tasks(self) -> Tasks:
        """The ledger's tasks."""
        return self._engine.ledger.tasks

    @property
    def submissions(self) -> Submissions:
        """Where the ledger's tasks come in."""
        return self._engine.ledger.submissions

    @property
    def leases(self) -> Leases:
        """The ledger's leases."""
        return self._engine.ledger.leases

    @property
    def users(self) -> Users:
        """The ledger's users."""
        return self._engine.ledger.users

    @property
    def keys(self) -> ApiKeys:
        """The ledger's keys."""
        return self._engine.ledger.keys

    @property
    def queues(self) -> Queues:
        """The ledger's queues."""
        return self._engine.ledger.queues

    @property
    def audit(self) -> Audit:
        """The ledger's audit trail."""
        return self._engine.ledger.audit

    @property
    def settings(self) -> StoredSettings:
        """What is set in the ledger while the service runs."""
        return self._engine.ledger.settings

    def ping(self) -> None:
        """Return if the ledger answers.

        Raises:
            LedgerUnavailableError: It does not.
        """
        self._engine.ledger.ping()


def compose(engine: Engine, catalogue: Catalogue, workers: Workers) -> Parts:
    """Return everything the routes stand on.

    Raises:
        SettingsError: A setting is broken.
    """
    settings = engine.settings
    keys = signing_keys(settings)
    ledger = LateLedger(engine)
    hasher = Hasher()
    tasks_service = TaskService(ledger, workers, now=utc_now)
    tokens = Tokens(keys, lifetime=settings.access_token_lifetime, now=utc_now)
    session_keys = [derive_key(key, "sessions") for key in keys]
    access = AccessService(ledger, hasher, tokens, now=utc_now)
    keys_service = KeyService(ledger, now=utc_now)
    task_types = TaskTypeService(catalogue)
    return Parts(
        settings=settings,
        tasks=tasks_service,
        submitting=SubmitService(
            ledger,
            catalogue,
            engine.publisher,
            access,
            now=utc_now,
            room=settings.accept_queue,
        ),
        task_types=task_types,
        access=access,
        keys=keys_service,
        first_steps=FirstSteps(tasks_service, keys_service, task_types),
        queues=QueueService(ledger),
        users=UserService(ledger, hasher),
        sessions=Sessions(session_keys, lifetime=settings.session_lifetime, now=utc_now),
        start_links=StartLinks(ledger, now=utc_now),
        password_links=PasswordLinks(ledger, now=utc_now),
        form_key=derive_key(keys[0], "forms"),
        page_tokens=PageTokens([derive_key(key, "page tokens") for key in keys]),
        files=engine.files,
        limiter=Limiter(engine.locate_broker),
        ends=Ends(engine.locate_broker),
        limits=Limits.from_settings(settings),
        hash_threads=HashThreads(MOST_HASHES_AT_ONCE),
        hub=Hub(workers.listen, tasks_service, now=utc_now),
        ping_ledger=ledger.ping,
        remember=lambda who, action, subject, facts: ledger.audit.add(who, action, subject, facts),
        flower=Upstream(settings.flower_url) if settings.flower_url else None,
    )
