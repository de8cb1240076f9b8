"""JSON Schemas of hints, in the dialect that OpenAPI 3.1 speaks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

Json = Any

DIALECT = GenerateJsonSchema.schema_dialect


class _Quiet(GenerateJsonSchema):
    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing: a default that JSON cannot write is left out, the function still has it."""


def generate_schema(of: type[BaseModel] | TypeAdapter[Any]) -> dict[str, Json]:
    """Return the JSON Schema (2020-12) of what a model or a hint accepts.

    Raises:
        PydanticUserError: There is no JSON Schema for it.
    """
    if isinstance(of, TypeAdapter):
        return of.json_schema(schema_generator=_Quiet)
    return of.model_json_schema(schema_generator=_Quiet)
