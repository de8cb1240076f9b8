"""Whether an app that somebody names is there, found out before anything of it runs."""

from __future__ import annotations

import ast
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from celeriac.core.nearest import did_you_mean, nearest
from celeriac.errors import AppMissingError


def check_app(app: str, folder: Path) -> None:
    """Refuse an app whose module, or whose name in it, is certainly not there.

    Nothing is imported: what a module does when it runs is for the programs to see and to tell.

    Args:
        app: As Celery's `-A` takes it: `proj.celery:app`, or a module in which to look for one.
        folder: Where the programs will run.

    Raises:
        AppMissingError: It is not there.
    """
    module, has_name, name = app.partition(":")
    # Without a colon the last part may be a name in the module before it.
    spec = _find(app, module if has_name else module.partition(".")[0], folder)
    if name:
        _check_name(app, module, name, spec)


def _find(app: str, module: str, folder: Path) -> ModuleSpec:
    """Return where a module is found, looked for from its topmost package down."""
    path, places = "", [str(folder)]
    spec = None
    for part in module.split("."):
        above, path = path, f"{path}.{part}".removeprefix(".")
        spec = _look(path, places, is_topmost=not above)
        if spec is None:
            sentence = f"no module {part!r} in {above or folder}"
            raise AppMissingError(app, _reason(sentence, part, _modules_in(places)))
        places = [*(spec.submodule_search_locations or ())]
        if not places and path != module:
            raise AppMissingError(app, f"{path} is no package")
    if spec is None:
        raise AssertionError("a text has at least one part")
    return spec


def _look(module: str, places: list[str], *, is_topmost: bool) -> ModuleSpec | None:
    here = PathFinder.find_spec(module, places)
    if here is not None:
        return here
    # Those of packages that are installed as they are edited, too.
    found = (each.find_spec(module, None if is_topmost else places) for each in sys.meta_path)
    return next((each for each in found if each is not None), None)


def _check_name(app: str, module: str, name: str, spec: ModuleSpec) -> None:
    names = _names_in(spec)
    if names is not None and name.partition(".")[0] not in names:
        raise AppMissingError(app, _reason(f"{module} has no {name!r}", name, names))


def _reason(sentence: str, word: str, known: set[str] | list[str]) -> str:
    question = did_you_mean(nearest(word, sorted(known)))
    return f"{sentence}; {question}" if question else sentence


def _modules_in(folders: list[str]) -> list[str]:
    found = (each for folder in folders for each in Path(folder).glob("*"))
    return [each.stem for each in found if each.suffix == ".py" or each.is_dir()]


def _names_in(spec: ModuleSpec) -> set[str] | None:
    """Return every name that a module may give to something; None where that cannot be told."""
    try:
        tree = ast.parse(Path(spec.origin or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        # No source of Python, or one that is broken: the import will tell.
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
    # Names that come from elsewhere, or that are made when they are asked for.
    return None if names & {"*", "__getattr__"} or "globals" in _called(tree) else names


def _called(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {each.id for each in calls if isinstance(each, ast.Name)}
