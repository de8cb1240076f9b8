"""The one place that speaks HTTP: sends a call, signs in when that is needed, reads the answer."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx

from celeriac.client.attachments import open_parts, to_json
from celeriac.client.calls import Call
from celeriac.client.credentials import Credentials
from celeriac.client.problems import error_from_answer, is_problem, with_note
from celeriac.errors import (
    AnotherProgramError,
    CeleriacError,
    CommitInDoubtError,
    ServiceUnreachableError,
)
from celeriac.wording import as_typed_here

Answer = TypeVar("Answer")

# A token that ends so soon may have ended when it arrives.
_MARGIN_SECONDS = 5.0
# How often a request is sent whose commit is in doubt.
_TRIES = 3
# A system's number for what its words say.
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
# Whoever gave a key wants another one, not the calls that lead to a token.
_KEY_FIX = (
    "give a key that is good: `celeriac key create LABEL --user NAME` makes one where the service "
    "runs, and so does the page First steps"
)
# What a proxy says for itself that stands before a service of ours.
_PROXYS = (413, 414, 429, 431, 502, 503, 504)
# What another program says of itself is shown, and may be long or steer a terminal.
_LONGEST_WORD = 100
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Connection:
    """Connections to one service, kept open between calls; may be used from many threads."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._sleep = sleep
        self._credentials = credentials
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token = credentials.key
        # When a token that we got by signing in ends, by our monotonic clock.
        self._good_until = float("inf") if credentials.key else float("-inf")
        self._timeout = timeout.total_seconds()
        self._http = httpx.Client(
            timeout=self._timeout,
            # The certificates take 0.1 s to read, and without TLS nobody asks for them.
            verify=self._url.startswith("https:"),
            # A proxy that the environment names is not on the way to this machine itself.
            trust_env=urlsplit(self._url).hostname not in _LOOPBACK,
        )

    @property
    def url(self) -> str:
        """Where the service is, without a slash at its end."""
        return self._url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def send(self, call: Call[Answer]) -> Answer:
        """Send a call and return what its answer stands for.

        One that has an idempotency key is sent again when the service does not know whether it
        was accepted; without a key that could make a second task.

        Raises:
            CommitInDoubtError: It may or may not have been accepted.
            CeleriacError: The service refused; of the same class as in the service.
            ServiceUnreachableError: It did not answer.
            AnotherProgramError: What answered is none of ours.
        """
        for _ in range(_TRIES - 1 if _may_be_repeated(call) else 0):
            try:
                return self._send(call)
            except CommitInDoubtError as error:
                pause: timedelta = getattr(error, "retry_after", timedelta(seconds=1))
                self._sleep(pause.total_seconds())
        return self._send(call)

    def _send(self, call: Call[Answer]) -> Answer:
        token = self._current_token()
        response = self._request(call, token)
        if response.status_code == 401 and self._credentials.user is not None:
            # It was ended on the other side: a password was changed, a key was rotated.
            response = self._request(call, self._renewed_token(token))
        return self._read(call, response)

    def download(self, call: Call[None], write: Callable[[bytes], object]) -> None:
        """Send a call and hand on its answer as it comes, whatever it is.

        Args:
            call: What is asked for.
            write: Takes one piece after the other.

        Raises:
            CeleriacError: The service refused; of the same class as in the service.
            ServiceUnreachableError: It did not answer, or hung up in the middle.
        """
        token = self._current_token()
        if self._stream(call, token, write) == 401:
            self._stream(call, self._renewed_token(token), write, is_last=True)

    def listen(self, call: Call[None], *, silence: timedelta) -> Generator[str]:
        """Yield the lines of an answer as they come; whoever asks has signed in by a call before.

        Args:
            call: What is asked for.
            silence: After how long without a line the service is thought to be gone.

        Raises:
            CeleriacError: The service refused; of the same class as in the service.
            ServiceUnreachableError: It did not answer, fell silent, or hung up in the middle.
        """
        timeout = httpx.Timeout(self._timeout, read=silence.total_seconds())
        with self._streaming(call, self._current_token(), timeout) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(response, call.facts)
            yield from response.iter_lines()

    def _stream(
        self,
        call: Call[None],
        token: str | None,
        write: Callable[[bytes], object],
        *,
        is_last: bool = False,
    ) -> int:
        may_sign_in = self._credentials.user is not None and not is_last
        with self._streaming(call, token, httpx.Timeout(self._timeout)) as response:
            if response.is_success:
                for piece in response.iter_bytes():
                    write(piece)
            elif response.status_code != 401 or not may_sign_in:
                response.read()
                raise self._refusal(response, call.facts)
            return response.status_code

    @contextmanager
    def _streaming(
        self, call: Call[None], token: str | None, timeout: httpx.Timeout
    ) -> Iterator[httpx.Response]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self._url + call.path
        try:
            with self._http.stream(call.method, url, headers=headers, timeout=timeout) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(str(error) or type(error).__name__) from None

    def _request(self, call: Call[Answer], token: str | None) -> httpx.Response:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if call.idempotency_key is not None:
            # In quotation marks, as its draft has it.
            headers["Idempotency-Key"] = f'"{call.idempotency_key}"'
        timeout = self._timeout
        if call.wait_seconds:
            headers["Prefer"] = f"wait={call.wait_seconds}"
            # It answers when it has waited, and not before.
            timeout += call.wait_seconds
        if call.form is not None:
            # Opened anew for each try, and never read whole.
            with ExitStack() as stack:
                return self._exchange(
                    call.method,
                    call.path,
                    params=httpx.QueryParams(list(call.params)),
                    headers=headers,
                    files=open_parts(call.form, stack),
                    timeout=timeout,
                )
        content = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = to_json(call.body)
        return self._exchange(
            call.method,
            call.path,
            params=httpx.QueryParams(list(call.params)),
            headers=headers,
            content=content,
            timeout=timeout,
        )

    def _exchange(self, method: str, path: str, **options: object) -> httpx.Response:
        try:
            return self._http.request(method, self._url + path, **options)  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its own chain is ninety lines long, and ends with the words that we take over.
            raise self._unreachable(str(error) or type(error).__name__) from None

    def _unreachable(self, reason: str) -> CeleriacError:
        error = ServiceUnreachableError(self._url, _ERRNO.sub("", reason))
        error.fix = as_typed_here(error.fix)
        return with_note(error)

    def _another_program(self, response: httpx.Response) -> CeleriacError:
        error = AnotherProgramError(
            self._url,
            status=response.status_code,
            server=_shown(response.headers.get("server", "")),
            location=_shown(response.headers.get("location", "")),
        )
        error.fix = as_typed_here(error.fix)
        return with_note(error)

    def _refusal(self, response: httpx.Response, facts: Mapping[str, str]) -> CeleriacError:
        if response.status_code not in _PROXYS and not is_problem(response.text):
            return self._another_program(response)
        is_bad_key = response.status_code == 401 and self._credentials.user is None
        return error_from_answer(
            response.status_code,
            dict(response.headers),
            response.text,
            facts=facts,
            fix=as_typed_here(_KEY_FIX) if is_bad_key else "",
        )

    def _read(self, call: Call[Answer], response: httpx.Response) -> Answer:
        if not response.is_success:
            raise self._refusal(response, call.facts)
        try:
            return call.read(response.json())
        except (ValueError, KeyError, TypeError, AttributeError):
            # What cannot be read of its page helps nobody.
            raise self._another_program(response) from None

    def _current_token(self) -> str | None:
        if self._credentials.user is None or self._monotonic() < self._good_until:
            return self._token
        return self._renewed_token(self._token)

    def _renewed_token(self, old: str | None) -> str | None:
        with self._lock:
            # Another thread may have signed in while this one waited.
            if self._token == old:
                self._sign_in()
            return self._token

    def _sign_in(self) -> None:
        form = {"username": self._credentials.user, "password": self._credentials.password or ""}
        response = self._exchange("POST", "/token", data=form)
        if not response.is_success:
            raise self._refusal(response, {})
        try:
            body = response.json()
            self._token = str(body["access_token"])
            lifetime = float(body["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise self._another_program(response) from None
        self._good_until = self._monotonic() + max(lifetime - _MARGIN_SECONDS, lifetime / 2)


def _shown(text: str) -> str:
    return "".join(filter(str.isprintable, text))[:_LONGEST_WORD]


def _may_be_repeated(call: Call[Answer]) -> bool:
    # A stream among a form's files has been read to its end.
    return call.idempotency_key is not None and call.form is None
