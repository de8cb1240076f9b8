"""The first steps in the words of people: pure functions of how far somebody has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from celeriac.core.task import Glance
from celeriac.core.task_type import TaskType
from celeriac.service.first_steps import Step, StepKind
from celeriac.web.dashboard.forms import ARGUMENT, fields_of
from celeriac.web.dashboard.signing_in import FORMS
from celeriac.web.dashboard.snippets import (
    Call,
    FileToSend,
    Snippet,
    example_of,
    snippets_of,
)

Json = Any

_WORDS: dict[StepKind, tuple[str, str, str]] = {
    StepKind.TEXT: (
        "Run a text task",
        "It counts the words of a text. The form is filled in: submit it, and see the result.",
        "Run it",
    ),
    StepKind.NUMBERS: (
        "Run numbers, and watch the progress",
        "It counts the primes below a hundred million, and its page tells how far it has come.",
        "Run it",
    ),
    StepKind.PICTURE: (
        "Make a thumbnail of your own picture",
        "Choose any picture. It is shown with the one that came back, ready to download.",
        "Choose a picture",
    ),
    StepKind.ERROR: (
        "See an error, and mend it",
        "Give the same task a file that is no picture, and its page says what went wrong.",
        "Break it",
    ),
    StepKind.OWN: (
        "Run a task of your own",
        "Its form is made from the hints of its function. Submit it, and see the result.",
        "Run it",
    ),
    StepKind.CODE: (
        "Run it from your code",
        "One click makes a key for your program, with the lines that use it.",
        "Use it from your app",
    ),
    StepKind.SAMPLES: (
        "Turn the samples off",
        "Once you have tasks of your own, you may want to see nothing else.",
        "",
    ),
}
_EXAMPLES: dict[str, dict[str, Json]] = {
    "text.wordcount": {"text": "one two two"},
    "process": {"data": "example data"},
    "numbers.primes": {"n": 100_000_000},
    "numbers.statistics": {"numbers": [3, 1, 4, 1, 5, 9]},
    "image.thumbnail": {"image": FileToSend("cat.png")},
    "image.grayscale": {"image": FileToSend("cat.png")},
}
# A text that calls itself a picture; it lies among the files of the pages.
BROKEN = "broken.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStep:
    """A step as its page shows it."""

    # 1 for the first.
    number: int
    kind: str
    title: str
    text: str
    is_done: bool
    # The task that shows how it stands.
    task: Glance | None
    # Where its button leads, and what it says; the address is empty when it leads nowhere.
    url: str
    button: str
    # How somebody does the same elsewhere.
    snippets: tuple[Snippet, ...]


def shown_steps(
    steps: Sequence[Step], task_types: Mapping[str, TaskType], *, url: str, command: str
) -> tuple[ShownStep, ...]:
    """Return the steps as their page shows them.

    Args:
        steps: The steps, in order.
        task_types: The task functions that they propose, by name.
        url: Where the service is.
        command: How our command line is called.
    """
    return tuple(
        _shown(number, step, task_types, url=url, command=command)
        for number, step in enumerate(steps, 1)
    )


def call_for_code(steps: Sequence[Step], task_types: Mapping[str, TaskType], *, url: str) -> Call:
    """Return the call that a program of one's own may begin with."""
    named = next((step for step in steps if step.name), None)
    name = named.name if named else ""
    return call_of(name or "hello.greet", task_types.get(name), url=url)


def call_of(name: str, task_type: TaskType | None, *, url: str) -> Call:
    """Return a call that shows what a task function takes; with what `init` writes for none."""
    if name in _EXAMPLES:
        arguments = _EXAMPLES[name]
    else:
        arguments = example_of(fields_of(task_type.schema)) if task_type else {"name": "Ada"}
    # Those samples give a file back that take one.
    gives_file = any(isinstance(each, FileToSend) for each in _EXAMPLES.get(name, {}).values())
    saves_to = "result.png" if gives_file else ""
    return Call(name=name, arguments=arguments, url=url, saves_to=saves_to)


def form_url(name: str, arguments: Mapping[str, Json]) -> str:
    """Return the address of a task's form with arguments filled in; a file never is."""
    texts = {
        f"{ARGUMENT}{key}": str(value)
        for key, value in arguments.items()
        if isinstance(value, str | int) and not isinstance(value, bool)
    }
    query = f"?{urlencode(texts)}" if texts else ""
    return f"{FORMS}{quote(name, safe='')}{query}"


def _shown(
    number: int, step: Step, task_types: Mapping[str, TaskType], *, url: str, command: str
) -> ShownStep:
    title, text, button = _words_of(step)
    target = _target_of(step)
    return ShownStep(
        number=number,
        kind=step.kind.value,
        title=title,
        text=text,
        is_done=step.is_done,
        task=step.task,
        url=target,
        button="Run it again" if step.is_done and target else button,
        snippets=_snippets_of(step, task_types, url=url, command=command),
    )


def _is_to_be_mended(step: Step) -> bool:
    return step.kind is StepKind.ERROR and step.task is not None and not step.is_done


def _words_of(step: Step) -> tuple[str, str, str]:
    title, text, button = _WORDS[step.kind]
    if step.kind is StepKind.OWN and not step.name:
        return "Write a task", "There is none yet. This writes a file with one.", ""
    if step.task is not None and _is_to_be_mended(step):
        failed = f"{step.task.name} failed, and its page says why."
        return title, f"{failed} Edit and run again there, with what is right.", "Mend it"
    return title, text, button


def _target_of(step: Step) -> str:
    if step.task is not None and _is_to_be_mended(step):
        return f"/ui/tasks/{quote(step.task.id, safe='')}"
    if not step.name:
        return ""
    # What somebody's own task takes is theirs to say.
    return form_url(step.name, _EXAMPLES.get(step.name, {}))


def _snippets_of(
    step: Step, task_types: Mapping[str, TaskType], *, url: str, command: str
) -> tuple[Snippet, ...]:
    match step.kind:
        case StepKind.CODE:
            return ()
        case StepKind.SAMPLES:
            return _without_samples(command)
        case StepKind.OWN if not step.name:
            return (Snippet(id="cli", label="Terminal", text=f"{command} init"),)
        case StepKind.ERROR:
            call = Call(name=step.name, arguments={"image": FileToSend(BROKEN)}, url=url)
        case _:
            call = call_of(step.name, task_types.get(step.name), url=url)
    return snippets_of(call, command=command)


def _without_samples(command: str) -> tuple[Snippet, ...]:
    unix = f"CELERIAC_SAMPLES=off {command} up"
    windows = f'$env:CELERIAC_SAMPLES="off"; {command} up'
    return (
        Snippet(id="unix", label="Linux, macOS", text=unix),
        Snippet(id="windows", label="Windows", text=windows),
    )
