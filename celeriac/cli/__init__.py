"""The command line: nouns, then verbs.

Data goes to standard output, words for people to standard error. Every command imports what it
needs when it runs, so that `celeriac --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from celeriac.cli.complaints import Complaint, complaint_about, complaint_about_misuse
from celeriac.up.report import printable
from celeriac.wording import as_typed_here, command_word

if TYPE_CHECKING:
    import click

_INTERRUPTED = 130
_NO_COLOUR = "--no-color"
_JSON = "--json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    import click
    from click.exceptions import NoArgsIsHelpError

    from celeriac.cli.commands import COMPLETION_VARIABLE, celeriac

    open_what_is_closed()
    words = without_colour(sys.argv[1:] if arguments is None else arguments, os.environ)
    as_json = _JSON in _options_among(words)
    try:
        ending = celeriac.main(
            args=words,
            # So that the usage it tells can be typed here.
            prog_name=command_word(),
            complete_var=COMPLETION_VARIABLE,
            standalone_mode=False,
        )
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except NoArgsIsHelpError as error:
        # A group alone: nothing went wrong, the help is what was wanted.
        sys.stdout.write(f"{error.message}\n")
        return 0
    except click.UsageError as error:
        return complain_of_misuse(error, as_json=as_json)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has enough. Python flushes it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("CELERIAC_LOG_LEVEL") == "debug":
            raise
        return _complain(complaint_about(error), as_json=as_json)
    # Click gives back the code of a command that ended by itself, and None of any other.
    return ending if isinstance(ending, int) else 0


def complain_of_misuse(error: click.UsageError, *, fix: str = "", as_json: bool = False) -> int:
    """Tell of a command that cannot be done as it was typed, and return the exit code.

    Args:
        error: Why not.
        fix: What helps; empty leaves it to the error.
        as_json: For a program, which reads it as it reads a problem of the API.
    """
    from celeriac.cli.misuse import fix_of, reason_of

    complaint = complaint_about_misuse(reason_of(error), fix or fix_of(error))
    return _complain(complaint, as_json=as_json)


def open_what_is_closed() -> None:
    """Have every standard stream lead somewhere; Python has none for one that was closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - until we end
            setattr(sys, name, stream)


def without_colour(arguments: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Return the words without `--no-color`, wherever it stood; the environment says it instead."""
    words = list(arguments)
    end = len(_options_among(words))
    if _NO_COLOUR not in words[:end]:
        return words
    environment["NO_COLOR"] = "1"
    return [word for place, word in enumerate(words) if word != _NO_COLOUR or place > end]


def _options_among(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def _complain(complaint: Complaint, *, as_json: bool = False) -> int:
    if as_json:
        # Before it is JSON: how we are called here may hold a backslash.
        detail, fix = as_typed_here(complaint.detail), as_typed_here(complaint.fix)
        sys.stderr.write(replace(complaint, detail=detail, fix=fix).json_text())
    else:
        sys.stderr.write(printable(as_typed_here(complaint.text())))
    return complaint.exit_code
