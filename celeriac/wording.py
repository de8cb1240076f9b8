"""How our command line is called where we run, and our texts with that word in them.

The one place that knows it. In the source a command is always `celeriac up`; whoever shows a text
to a person passes it through here.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

# Set by `run.py`, which is how a checkout is started; `up` hands it to its programs.
WORD_VARIABLE = "CELERIAC_COMMAND"
_COMMAND = re.compile(r"(?<![\w./-])celeriac(?= [a-z])")


def as_typed_here(text: str) -> str:
    """Return a text in which a command such as `celeriac up` is one that works here.

    In a checkout nothing of that name is on the PATH: there it is `python run.py up`.
    """
    word = command_word()
    # Not as a pattern's replacement: a folder of Windows has backslashes.
    return _COMMAND.sub(lambda _: word, text)


def command_word() -> str:
    """Return how somebody calls our command line here."""
    if own_checkout() is None or Path(sys.argv[0]).stem == "celeriac":
        return "celeriac"
    return os.environ.get(WORD_VARIABLE) or "python run.py"


def checkout_python() -> Path | None:
    """Return the Python that `run.py` made for our checkout; None without one, or where it runs."""
    checkout = own_checkout()
    if checkout is None or Path(sys.prefix) == checkout / ".venv":
        return None
    place = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return checkout.joinpath(".venv", *place)


def own_checkout() -> Path | None:
    """Return the checkout our package lies in, None when it is installed."""
    folder = Path(__file__).resolve().parents[1]
    return folder if (folder / "run.py").exists() else None
