"""A function's parameters and hints, as far as they can be checked.

A hint that cannot be checked (a class pydantic knows nothing of, a name that only a type checker
sees) is worth a warning, never a refusal: the function ran before we looked at it.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter
from types import SimpleNamespace
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from celeriac.engine.schemas import generate_schema
from celeriac.files.file import Accept, File

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hinted:
    """One parameter of a function."""

    name: str
    # The name it has in the model: its own unless pydantic needs that one for itself.
    field: str
    # `Any` where there is no hint, or none that can be checked.
    hint: Any
    # `Parameter.empty` when the caller must give it.
    default: Any
    # One of the five kinds of `inspect.Parameter`.
    kind: Any


def read_parameters(
    function: Callable[..., Any], *, skip_first: bool
) -> tuple[tuple[Hinted, ...], Any]:
    """Return a function's parameters and what it returns, `Any` when that is not said."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Some builtins do not tell: anything goes.
        found = [
            Parameter("args", Parameter.VAR_POSITIONAL),
            Parameter("kwargs", Parameter.VAR_KEYWORD),
        ]
    hints = dict(_read_hints(function))
    parameters = tuple(
        Hinted(
            name=each.name,
            field=_field_name(each.name, place),
            hint=_allow_default(hints.get(each.name, Any), each.default),
            default=each.default,
            kind=each.kind,
        )
        for place, each in enumerate(found[1:] if skip_first else found)
    )
    return parameters, hints.get("return", Any)


def _read_hints(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    plain = inspect.unwrap(function)
    scope = getattr(plain, "__globals__", {})
    for name, written in getattr(plain, "__annotations__", {}).items():
        # Each by itself, so that one that cannot be read does not take the others along.
        one = SimpleNamespace(__annotations__={name: written})
        try:
            hint = _with_accept(get_type_hints(one, globalns=scope, include_extras=True)[name])
            generate_schema(TypeAdapter(hint))
        except (NameError, AttributeError, TypeError, SyntaxError, PydanticUserError) as error:
            logger.warning(
                "A hint cannot be checked, so any value is taken.",
                extra={
                    "function": f"{plain.__module__}.{plain.__qualname__}",
                    "parameter": name,
                    "hint": str(written),
                    "reason": str(error).partition("\n")[0],
                },
            )
        else:
            yield name, hint


def _with_accept(hint: Any) -> Any:
    # `Annotated[File, "image/*"]` is how one says which files; pydantic leaves bare texts alone.
    if get_origin(hint) is not Annotated or get_args(hint)[0] is not File:
        return hint
    said = [Accept(each) if isinstance(each, str) else each for each in hint.__metadata__]
    return Annotated[(File, *said)]


def _field_name(name: str, place: int) -> str:
    if name.startswith("_") or hasattr(BaseModel, name):
        return f"argument_{place}"
    return name


def _allow_default(hint: Any, default: Any) -> Any:
    # `x: int = None` is how many tasks in the world say that x may be left out.
    return Union[hint, None] if default is None and hint is not Any else hint  # noqa: UP007 - a runtime value
