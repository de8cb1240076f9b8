"""What callers read about the tasks that can be submitted."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field

from celeriac.core.task_type import TaskType

Json = Any


class TaskTypeOut(BaseModel):
    """What can be submitted under one task name."""

    name: str
    title: Annotated[str, Field(description="One line for people; empty when there is none.")]
    description: str
    # `schema` is a method of every pydantic model, so the field has another name in Python.
    arguments: Annotated[
        dict[str, Json],
        Field(
            serialization_alias="schema",
            description="The JSON Schema of the named arguments, as one object.",
        ),
    ]
    queue: str
    max_attempts: int | None
    timeout_seconds: float | None

    @classmethod
    def of(cls, task_type: TaskType) -> Self:
        """Return a task type as a caller reads it."""
        return cls(
            name=task_type.name,
            title=task_type.title,
            description=task_type.description,
            arguments=task_type.schema,
            queue=task_type.queue,
            max_attempts=task_type.max_attempts,
            timeout_seconds=task_type.timeout_seconds,
        )


class TaskTypesOut(BaseModel):
    """Everything that can be submitted."""

    task_types: list[TaskTypeOut]
    # Task modules that could not be imported, a sentence for each; their tasks are missing here.
    unloaded: list[str]
