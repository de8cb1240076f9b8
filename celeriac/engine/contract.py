"""What a task function takes and gives back: its hints as a pydantic model and a JSON Schema.

Arguments come in by three doors: as JSON over HTTP, as typed values from `.delay()`, and mixed, as
whoever wrote the program likes. Behind all of them stands the same model. JSON is read as JSON
(an ISO string is a moment, base64 is bytes) and a value that already has its type keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from inspect import Parameter
from pathlib import PurePath
from typing import Any, Self

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from celeriac.core.file_fields import file_fields
from celeriac.core.nearest import did_you_mean, nearest
from celeriac.engine.hints import Hinted, read_parameters
from celeriac.engine.models import create_adapter, create_contract_model
from celeriac.engine.problems import list_problems, to_pointer
from celeriac.engine.schemas import DIALECT, generate_schema
from celeriac.engine.values import is_plain_json, to_message
from celeriac.errors import FieldProblem, InvalidArgumentsError
from celeriac.files.file import A_FILE, Door, File, SentFiles

Json = Any
Call = tuple[list[Any], dict[str, Any]]


class Contract:
    """How a task function may be called, and what comes back.

    Attributes:
        name: Whose contract it is, for the sentence of an error.
        schema: A JSON Schema (2020-12) of the named arguments, as one object.
        model: The pydantic model behind it, a field for each parameter.
        file_fields: Which of the arguments are files.
    """

    def __init__(self, name: str, parameters: tuple[Hinted, ...], returns: Any) -> None:
        self.name = name
        self.model = create_contract_model(name, parameters)
        self.schema: dict[str, Json] = {"$schema": DIALECT, **generate_schema(self.model)}
        self.file_fields = file_fields(self.schema)
        self._positional = [
            each
            for each in parameters
            if each.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        ]
        self._rest = next((p for p in parameters if p.kind is Parameter.VAR_POSITIONAL), None)
        self._names = {each.field: each.name for each in parameters}
        self._result = None if returns is Any else create_adapter(returns)

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, name: str | None = None, skip_first: bool = False
    ) -> Self:
        """Read the contract of a function from its signature and hints.

        Args:
            function: A plain function, or a bound method of a task.
            name: The task name, for errors; None is the function's own.
            skip_first: The first parameter is the task itself and no argument.
        """
        parameters, returns = read_parameters(function, skip_first=skip_first)
        return cls(name or str(getattr(function, "__name__", "task")), parameters, returns)

    def check(
        self, kwargs: Mapping[str, Json], name: str | None = None, *, files: Door | None = None
    ) -> None:
        """See whether named arguments in JSON fit, as exactly as the schema says.

        Args:
            kwargs: The arguments; a file is its reference.
            name: What an error calls the task; None is its own name.
            files: Which references are good; None takes no files.

        Raises:
            InvalidArgumentsError: They do not, and each field that is wrong is named.
        """
        self._validate(dict(kwargs), name or self.name, files=files, is_strict=True)

    def misfits(self, texts: Sequence[bytes]) -> set[int]:
        """Return the places of those that do not fit, of the named arguments of many calls.

        As exact as `check`, which says what is wrong with them, and takes no files; many are
        checked in a fraction of its time.

        Args:
            texts: A JSON object each.
        """
        try:
            self._many.validate_json(
                b"[" + b",".join(texts) + b"]", strict=True, context=SentFiles(frozenset())
            )
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
            places = {each["loc"][0] if each["loc"] else "all" for each in details}
            # What cannot be read at all is read one by one.
            return {int(each) for each in places} if "all" not in places else {*range(len(texts))}
        return set()

    @cached_property
    def _many(self) -> TypeAdapter[list[BaseModel]]:
        return TypeAdapter(list[self.model])  # type: ignore[name-defined] # made at run time

    @property
    def is_named(self) -> bool:
        """Whether the function takes all of its arguments by name."""
        return self._rest is None and not any(
            each.kind is Parameter.POSITIONAL_ONLY for each in self._positional
        )

    def bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, files: Door | None = None
    ) -> Call:
        """Return the values with which the function is called, each of its hinted type.

        Args:
            args: By position.
            kwargs: By name.
            files: What stands for a file; None takes only a `File` for one.

        Raises:
            InvalidArgumentsError: They do not fit.
        """
        model = self._validate(self._by_name(args, kwargs), self.name, files=files)
        return self._place({name: getattr(model, field) for field, name in self._given(model)})

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """Return the same call in plain JSON: `bind` of it gives the values back.

        Raises:
            InvalidArgumentsError: They do not fit, or JSON cannot carry one of them.
        """
        model = self._validate(self._by_name(args, kwargs), self.name)
        given = self._given(model)
        try:
            dumped = model.model_dump(mode="json", include={field for field, _ in given})
        except PydanticSerializationError as error:
            raise InvalidArgumentsError(self.name, (FieldProblem("", str(error)),)) from error
        return self._place({name: dumped[field] for field, name in given})

    def place(self, kwargs: Mapping[str, Json]) -> Call:
        """Return named arguments as the function must be called, unchanged otherwise.

        Most functions take all of them by name; what `*args` or a `/` takes by position goes there.
        """
        return self._place(dict(kwargs))

    def dump_result(self, value: Any) -> Any:
        """Return what the function gave back, as JSON by its return hint.

        Without a hint models and the like become JSON, and what typed JSON carries stays.

        Raises:
            TypeError: JSON cannot carry it.
        """
        if self._result is None:
            return to_message(value)
        try:
            # A function that returns something else than it says has still done its work.
            return self._result.dump_python(value, mode="json", warnings="none")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.name}: {error}") from error

    def files_of(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return a call with every path in place of a file as that file of this machine.

        Raises:
            InvalidArgumentsError: There is no such file.
        """
        names = [each.name for each in self._positional[: len(args)]]
        found = [
            self._local(name, value) for name, value in zip(names, args[: len(names)], strict=True)
        ]
        named = {name: self._local(name, value) for name, value in kwargs.items()}
        return [*found, *args[len(names) :]], named

    def _local(self, name: str, value: Any) -> Any:
        if name not in self.file_fields:
            return value
        if isinstance(value, list | tuple):
            return [self._local(name, each) for each in value]
        # Not a text: one that came from a stranger would make this machine's files theirs.
        if not isinstance(value, PurePath):
            return value
        try:
            return File(value)
        except OSError as error:
            problem = FieldProblem(to_pointer(name), str(error))
            raise InvalidArgumentsError(self.name, (problem,)) from error

    def _validate(
        self,
        fields: dict[str, Any],
        name: str,
        *,
        files: Door | None = None,
        is_strict: bool = False,
    ) -> BaseModel:
        try:
            if is_plain_json(fields):
                return self.model.model_validate_json(
                    to_json(fields), strict=is_strict or None, context=files
                )
            return self._validate_typed(fields, files)
        except ValidationError as error:
            problems = tuple(map(self._explained, list_problems(error, fields)))
            raise InvalidArgumentsError(name, problems) from error
        except (PydanticSerializationError, UnicodeError) as error:
            # A lone surrogate: Python holds it in a string, UTF-8 and so JSON do not.
            raise InvalidArgumentsError(name, (FieldProblem("", "not valid Unicode"),)) from error

    def _validate_typed(self, fields: dict[str, Any], files: Door | None) -> BaseModel:
        try:
            return self.model.model_validate(fields, context=files)
        except ValidationError:
            # Some are typed and some still in their JSON form, which a strict model only takes
            # from JSON. What is wrong either way is told in the words of the first try.
            try:
                text = to_json(fields, bytes_mode="base64")
                return self.model.model_validate_json(text, context=files)
            except (ValidationError, PydanticSerializationError):
                pass
            raise

    def _explained(self, problem: FieldProblem) -> FieldProblem:
        # Whoever sends JSON, as to every other task, would look for a mistake in it.
        is_file = problem.pointer.removeprefix("/") in self.file_fields
        if is_file and problem.detail == "Field required":
            return FieldProblem(problem.pointer, f"Field required: {A_FILE}")
        if problem.detail == "Extra inputs are not permitted":
            return FieldProblem(problem.pointer, self._unknown(problem.pointer))
        return problem

    def _unknown(self, pointer: str) -> str:
        name, *deeper = pointer.removeprefix("/").split("/")
        if deeper:
            return "no such field"
        known = (self._names.get(each, each) for each in self.model.model_fields)
        question = did_you_mean(nearest(name.replace("~1", "/").replace("~0", "~"), known))
        return "; ".join(filter(None, ("no such argument", question)))

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        # Not inspect.Signature.bind: its TypeError would hide what is wrong with the fields.
        fields = dict(kwargs)
        named = [each.name for each in self._positional[: len(args)]]
        rest = args[len(self._positional) :]
        problems = []
        if rest and self._rest is None:
            count = len(self._positional)
            detail = f"takes {count} positional arguments, {len(args)} were given"
            problems.append(FieldProblem("", detail))
        elif rest and self._rest is not None:
            named.append(self._rest.name)
        problems += [
            FieldProblem(to_pointer(name), "given by position and by name")
            for name in named
            if name in kwargs
        ]
        if problems:
            raise InvalidArgumentsError(self.name, tuple(problems))
        fields.update(zip(named, [*args[: len(self._positional)], list(rest)], strict=False))
        return fields

    def _given(self, model: BaseModel) -> list[tuple[str, str]]:
        # In the function's own order: a set's would differ from one process to the next.
        order = [*type(model).model_fields, *(model.model_extra or ())]
        return [
            (each, self._names.get(each, each)) for each in order if each in model.model_fields_set
        ]

    def _place(self, given: dict[str, Any]) -> Call:
        rest = given.pop(self._rest.name, ()) if self._rest else ()
        by_position = [
            each for each in self._positional if rest or each.kind is Parameter.POSITIONAL_ONLY
        ]
        # A default in the middle must be filled in, one at the end need not.
        while by_position and not rest and by_position[-1].name not in given:
            by_position.pop()
        args = [given.pop(each.name, each.default) for each in by_position]
        return [*args, *rest], given
