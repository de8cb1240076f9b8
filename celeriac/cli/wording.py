"""Our own commands in what we say, as they are typed where we are."""

from __future__ import annotations

import re

from celeriac.up.project import command_word, own_checkout

_COMMAND = re.compile(r"(?<![\w./-])celeriac(?= [a-z])")


def as_typed_here(text: str) -> str:
    """Return a text in which a command such as `celeriac up` is one that works here.

    In a checkout nothing of that name is on the PATH: there it is `python run.py up`.
    """
    return _COMMAND.sub(command_word(own_checkout()), text)
