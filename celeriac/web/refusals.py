"""What is refused before anybody looks at what is asked: it concerns HTTP alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from celeriac.errors import (
    AccessError,
    CeleriacError,
    FieldProblem,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)


class RequestRefusedError(CeleriacError):
    """The request cannot be read."""

    code = "bad_request"


class BrokenHeaderError(RequestRefusedError):
    """A header does not say what such a header may say."""

    code = "broken_header"

    def __init__(self, header: str, detail: str) -> None:
        super().__init__(f"the header {header} {detail}")
        self.header = header


class BrokenBodyError(RequestRefusedError):
    """The body is not in the format its content type says."""

    code = "broken_body"

    def __init__(self, what: str) -> None:
        super().__init__(f"the body is not {what}")
        self.what = what


class BodyTooLargeError(RequestRefusedError):
    """The body is larger than this path takes; it was not read to its end."""

    code = "body_too_large"

    def __init__(self, most_bytes: int, *, size_bytes: int | None = None) -> None:
        # Of a body that is sent piece by piece nobody knows how large it would have been.
        size = "" if size_bytes is None else f" of {size_bytes:,} bytes"
        super().__init__(f"the body{size} is larger than {most_bytes:,} bytes")
        self.most_bytes = most_bytes


class MediaTypeError(RequestRefusedError):
    """The body's content type or encoding is not one this path takes."""

    code = "unsupported_media_type"

    def __init__(self, header: str, wanted: str) -> None:
        super().__init__(f"the body's {header} is not {wanted}")
        self.fix = f"send {header}: {wanted}"


class RangeError(RequestRefusedError):
    """A part of a file is asked for that begins behind its end."""

    code = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes, and the range begins behind them")
        self.size_bytes = size_bytes


class InvalidBodyError(InvalidRequestError):
    """The body can be read, but holds what no task can take."""

    code = "invalid_body"

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


class FormRefusedError(AccessError):
    """A form did not come from a page that was made for this browser."""

    code = "form_refused"
    fix = "open the page again and send it from there"

    def __init__(self, typed: Mapping[str, list[str]] | None = None) -> None:
        super().__init__("this form is too old, or comes from elsewhere; nothing was done")
        # What stood in it, to be shown again to whoever sent it; files never do.
        self.typed = typed or {}


class BusyError(UnavailableError):
    """Too many ask for the same costly thing at once; nothing was done."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("too many requests of this kind are being served")


class TooManyStreamsError(RateLimitedError):
    """The caller has as many streams of events open as one may have."""

    code = "too_many_streams"
    fix = "close one, or watch more topics with one: topics=tasks,task:ID,task:ID"

    def __init__(self, most: int) -> None:
        super().__init__(timedelta(seconds=5))
        self.args = (f"{most} streams of yours are open already",)
        self.most = most


class FlowerMissingError(NotFoundError):
    """No Flower belongs to this service."""

    code = "flower_missing"
    fix = "start everything with `celeriac up`, or set CELERIAC_FLOWER_URL"

    def __init__(self) -> None:
        super().__init__("no Flower belongs to this service")


class FlowerAwayError(UnavailableError):
    """Flower does not answer; the rest of the service does."""

    code = "flower_away"
    fix = "try again in a moment; if it stays away, read Flower's log and start it again"

    def __init__(self, reason: str) -> None:
        super().__init__("Flower does not answer; tasks run and are kept without it")
        # For the log.
        self.reason = reason


class FlowerBrokenError(CeleriacError):
    """Flower answers, but not to us or not as Flower does."""

    code = "flower_broken"
    fix = (
        "see that CELERIAC_FLOWER_URL names a Flower that runs with --url-prefix=flower, "
        "and its user and password"
    )

    def __init__(self) -> None:
        super().__init__("what answers in Flower's place is not the Flower of this service")


class FlowerRefusedError(AccessError):
    """This part of Flower is not for whoever asks."""

    code = "flower_refused"

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix
