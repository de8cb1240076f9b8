"""What the routes stand on, composed once, and how a route names what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from celeriac.files.store import FileStore
from celeriac.service.access import AccessService
from celeriac.service.first_steps import FirstSteps
from celeriac.service.keys import KeyService
from celeriac.service.password_links import PasswordLinks
from celeriac.service.queues import QueueService
from celeriac.service.sessions import Sessions
from celeriac.service.start_links import StartLinks
from celeriac.service.submitting import SubmitService
from celeriac.service.task_types import TaskTypeService
from celeriac.service.tasks import TaskService
from celeriac.service.users import UserService
from celeriac.settings import Settings
from celeriac.web.ends import Ends
from celeriac.web.flower.upstream import Upstream
from celeriac.web.hashing import HashThreads
from celeriac.web.landing import Landing
from celeriac.web.limits import Limiter, Rule
from celeriac.web.live.guests import Guests
from celeriac.web.live.hub import Hub
from celeriac.web.page_tokens import PageTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rules that requests are counted by."""

    user: Rule
    address: Rule
    # Sign-ins per name and address together: nobody can lock another out from elsewhere.
    sign_in: Rule
    # Sign-ins per address, under whatever names.
    sign_in_address: Rule
    # Requests for pages, of a user and of an address: a page asks again while its task runs.
    pages: Rule

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Return the rules that the settings ask for."""
        sign_in = Rule.from_text("sign-in", settings.login_limit)
        return cls(
            user=Rule.from_text("user", settings.rate_limit),
            address=Rule.from_text("address", settings.rate_limit),
            sign_in=sign_in,
            sign_in_address=sign_in.times(5, name="sign-in-address"),
            pages=Rule.from_text("pages", settings.rate_limit).times(6, name="pages"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that outlives a request."""

    settings: Settings
    tasks: TaskService
    submitting: SubmitService
    task_types: TaskTypeService
    access: AccessService
    keys: KeyService
    first_steps: FirstSteps
    queues: QueueService
    users: UserService
    sessions: Sessions
    start_links: StartLinks
    password_links: PasswordLinks
    # Seals the forms of the pages.
    form_key: bytes
    page_tokens: PageTokens
    # Where files lie that come with tasks.
    files: FileStore
    limiter: Limiter
    # Wakes those who wait for a task's end.
    ends: Ends
    limits: Limits
    # Threads that hash passwords: few, so that sign-ins never take those of the other routes.
    hash_threads: HashThreads
    # Raises LedgerUnavailableError when nothing can be accepted.
    ping_ledger: Callable[[], None]
    # Adds to the audit trail: who, what, to what, and what else is worth knowing.
    remember: Callable[[str, str, str, Mapping[str, str]], None]
    # What happens, for all who watch, and who they are.
    hub: Hub
    guests: Guests = field(default_factory=Guests)
    # Where answers of the thread that writes come to those who wait for them.
    landing: Landing = field(default_factory=Landing)
    # Where Flower is; None when none belongs to this service.
    flower: Upstream | None = None


def parts_of(request: Request) -> Parts:
    """Return what the app of a request stands on."""
    parts: Parts = request.scope["app"].state.parts
    return parts


# Async although they wait for nothing: FastAPI runs a plain function in a thread.
async def _tasks(request: Request) -> TaskService:
    return parts_of(request).tasks


async def _submitting(request: Request) -> SubmitService:
    return parts_of(request).submitting


async def _ends(request: Request) -> Ends:
    return parts_of(request).ends


async def _task_types(request: Request) -> TaskTypeService:
    return parts_of(request).task_types


async def _access(request: Request) -> AccessService:
    return parts_of(request).access


async def _keys(request: Request) -> KeyService:
    return parts_of(request).keys


async def _first_steps(request: Request) -> FirstSteps:
    return parts_of(request).first_steps


async def _queues(request: Request) -> QueueService:
    return parts_of(request).queues


async def _page_tokens(request: Request) -> PageTokens:
    return parts_of(request).page_tokens


async def _files(request: Request) -> FileStore:
    return parts_of(request).files


Tasks = Annotated[TaskService, Depends(_tasks)]
Submitting = Annotated[SubmitService, Depends(_submitting)]
TaskEnds = Annotated[Ends, Depends(_ends)]
TaskTypes = Annotated[TaskTypeService, Depends(_task_types)]
Access = Annotated[AccessService, Depends(_access)]
Keys = Annotated[KeyService, Depends(_keys)]
Steps = Annotated[FirstSteps, Depends(_first_steps)]
Queues = Annotated[QueueService, Depends(_queues)]
Seals = Annotated[PageTokens, Depends(_page_tokens)]
Files = Annotated[FileStore, Depends(_files)]
