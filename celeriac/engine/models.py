"""The pydantic models and adapters behind the contract of a task function."""

from __future__ import annotations

from inspect import Parameter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError

from celeriac.engine.hints import Hinted

# Bytes need not be text: in JSON they are base64.
_CONFIG = ConfigDict(
    ser_json_bytes="base64", val_json_bytes="base64", arbitrary_types_allowed=False
)


def create_contract_model(name: str, parameters: tuple[Hinted, ...]) -> type[BaseModel]:
    """Return the model of a function's parameters, a field for each."""
    fields: dict[str, Any] = {}
    config = ConfigDict(extra="forbid", title=name, protected_namespaces=(), **_CONFIG)
    for each in parameters:
        if each.kind is Parameter.VAR_KEYWORD:
            config["extra"] = "allow"
            fields["__pydantic_extra__"] = (dict[str, each.hint], ...)  # type: ignore[name-defined] # a hint made at run time
        elif each.kind is Parameter.VAR_POSITIONAL:
            fields[each.field] = (
                list[each.hint],  # type: ignore[name-defined] # as above
                Field(default=[], alias=each.name),
            )
        else:
            default = ... if each.default is Parameter.empty else each.default
            fields[each.field] = (each.hint, Field(default=default, alias=each.name))
    return create_model(name, __config__=config, **fields)


def create_adapter(hint: Any) -> TypeAdapter[Any]:
    """Return what checks and writes values of a hint."""
    try:
        return TypeAdapter(hint, config=_CONFIG)
    except PydanticUserError:
        # A model brings its own configuration and takes no other.
        return TypeAdapter(hint)
