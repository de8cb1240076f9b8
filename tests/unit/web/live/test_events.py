from __future__ import annotations

import pytest

from celeriac.core.task import TaskId
from celeriac.errors import InvalidOptionError
from celeriac.web.live.events import MOST_TASKS, Event, Topics, joined


def test_an_event_stands_on_the_wire_as_browsers_read_it() -> None:
    events = [Event(name="tasks", data={"ids": ["ä\n"]}, id="ab-1"), Event(name="reset", data={})]

    assert joined(events) == (
        b'id: ab-1\nevent: tasks\ndata: {"ids":["\\u00e4\\n"]}\n\nevent: reset\ndata: {}\n\n'
    )


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("tasks", Topics(tasks=True)),
        ("stats,tasks", Topics(tasks=True, stats=True)),
        ("tasks,task-types", Topics(tasks=True, task_types=True)),
        ("task:1,task:1,task:a:b", Topics(task_ids=(TaskId("1"), TaskId("a:b")))),
    ],
)
def test_topics_are_read(text: str, topics: Topics) -> None:
    assert Topics.from_text(text) == topics


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tasks,",
        "Tasks",
        "task:",
        "task:\0",
        f"task:{'x' * 256}",
        ",".join(f"task:{number}" for number in range(MOST_TASKS + 1)),
    ],
)
def test_what_is_no_topic_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        Topics.from_text(text)
