"""Importing the modules that hold tasks, so that a broken one leaves the others standing."""

from __future__ import annotations

import importlib
import logging
import site
import sysconfig
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportProblem:
    """Why a module with tasks could not be imported, and where."""

    module: str
    # The line of the user's own that failed; empty and 0 when the module was not even found.
    file: str
    line: int
    # The exception's class and what it says, on one line.
    message: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        place = f" ({self.file}, line {self.line})" if self.file else ""
        return f"the task module {self.module} cannot be imported: {self.message}{place}"

    @property
    def brief(self) -> str:
        """The same for callers over HTTP: neither folders, nor what the exception says."""
        kind = self.message.partition(":")[0]
        place = f" in {Path(self.file).name}, line {self.line}" if self.file else ""
        return f"the task module {self.module} could not be loaded: {kind}{place}"


def import_task_modules(names: Iterable[str]) -> tuple[ImportProblem, ...]:
    """Import each module and return what went wrong with those that failed.

    A module that fails is left out with what it had not registered yet; the others load.
    """
    problems = []
    for name in names:
        try:
            importlib.import_module(name)
        # What runs here is the user's, and may raise anything at all; `sys.exit` too.
        except (Exception, SystemExit) as error:
            problem = describe_problem(name, error)
            problems.append(problem)
            logger.error("%s", problem)
    return tuple(problems)


def describe_problem(module: str, error: BaseException) -> ImportProblem:
    """Return why a module could not be imported."""
    file, line = _place(error)
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        said = error.msg
    message = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return ImportProblem(module=module, file=file, line=line, message=message)


def is_of_library(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    return file.startswith(_LIBRARIES)


def _place(error: BaseException) -> tuple[str, int]:
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    # The first frame is ours; those of the import system have no file at all.
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)[1:]
        if not frame.filename.startswith("<") and frame.filename != importlib.__file__
    ]
    # `import pandas` in the user's module, not the line deep in pandas where it broke.
    own = [frame for frame in frames if not is_of_library(frame.filename)]
    if not frames:
        return "", 0
    last = (own or frames)[-1]
    return last.filename, last.lineno or 0


_LIBRARIES = tuple(
    {
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
    }
)
