from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.settings import Settings
from celeriac.up.children import Child, Program
from celeriac.up.programs import Surroundings
from celeriac.up.project import Project
from celeriac.up.reload import Code, Reloader, read_refused


class Probe:
    """A probe that has ended before anybody looks, or that runs until it is killed."""

    def __init__(self, code: int | None) -> None:
        self._code = code
        self.is_killed = False

    def find_exit_code(self) -> int | None:
        return self._code

    def kill(self) -> None:
        """Be killed."""
        self.is_killed = True


class Stage:
    """A reloader over a folder, with probes that answer as a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.restarts = 0
        self.probes = 0
        # Probes that are started first, and run until they are killed.
        self.slow: list[Probe] = []
        self.code: Code | str = ""
        (folder / "up").mkdir()
        self.file = folder / "tasks.py"
        self.file.write_text("x = 1\n")
        around = Surroundings(
            settings=Settings(data_dir=folder),
            environment=os.environ,
            project=Project(folder=folder, app=str(self.file), is_edited=True),
            folder=folder / "up",
        )
        self.reloader = Reloader(
            around,
            package=None,
            spawn=self._spawn,
            restart=self._restart,
            say=self.said.append,
        )

    def look(self, answer: Code | str) -> None:
        """Let the reloader look, and a probe it may start find this code or fail with words."""
        self.code = answer
        # One turn to see the change and to start the probe, one to read its answer.
        for _ in range(2):
            self.reloader._look_at = 0.0
            self.reloader.turn()

    def write(self, text: str) -> None:
        """Write the file of tasks."""
        self.file.write_text(text)
        os.utime(self.file, ns=(self.probes, self.probes))

    def _spawn(self, program: Program) -> Child:
        self.probes += 1
        if self.slow:
            return self.slow.pop()  # type: ignore[return-value]
        if isinstance(self.code, str):
            program.log.write_text(self.code)
            ended: Any = Probe(1)
        else:
            facts = {
                "tasks": sorted(self.code.tasks),
                "files": sorted(map(str, self.code.files)),
                "problems": self.code.problems,
            }
            Path(program.command[-1]).write_text(json.dumps(facts))
            ended = Probe(0)
        return ended  # type: ignore[no-any-return]

    def _restart(self) -> None:
        self.restarts += 1


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.look(code(stage))
    assert (stage.probes, stage.restarts) == (1, 0)
    return stage


def code(stage: Stage, *tasks: str, **problems: str) -> Code:
    return Code(tasks=frozenset({"one", *tasks}), files=frozenset({stage.file}), problems=problems)


def test_without_a_change_nobody_is_asked(stage: Stage) -> None:
    stage.look(code(stage))

    assert stage.probes == 1


def test_changed_code_is_taken_and_what_is_new_is_told(stage: Stage) -> None:
    stage.write("x = 2\n")
    stage.look(code(stage, "two"))

    assert stage.restarts == 1
    assert "1 new task: two; tasks.py changed;" in stage.said[-1]


def test_a_file_that_is_gone_is_told_as_deleted_with_what_went_with_it(stage: Stage) -> None:
    stage.file.unlink()
    stage.look(replace(code(stage), tasks=frozenset()))

    assert stage.restarts == 1
    assert "tasks.py was deleted; 1 task is gone: one;" in stage.said[-1]


def test_a_change_while_the_probe_runs_is_probed_anew_together_with_the_one_before(
    stage: Stage,
) -> None:
    stage.slow.append(slow := Probe(None))
    helper = stage.folder / "helper.py"
    stage.write("import helper\n")
    stage.look(code(stage))
    before = (stage.probes, slow.is_killed)

    helper.touch()
    stage.look(replace(code(stage), files=frozenset({stage.file, helper})))

    assert (before, slow.is_killed) == ((2, False), True)
    assert (stage.probes, stage.restarts) == (3, 1)
    assert "helper.py, tasks.py changed" in stage.said[-1]


def test_what_a_probe_says_counts_no_more_when_its_files_have_changed_again(stage: Stage) -> None:
    stage.write("x = (\n")
    stage.code = code(stage, tasks="half of it was written")
    stage.reloader._look_at = 0.0
    stage.reloader.turn()
    assert stage.probes == 2

    stage.write("x = (2)\n")
    stage.look(code(stage))

    assert (stage.probes, stage.restarts) == (3, 1)
    assert not any("half" in line for line in stage.said)


def test_a_file_that_is_no_part_of_the_tasks_changes_nothing(stage: Stage) -> None:
    (stage.folder / "other.py").write_text("x")
    stage.look(code(stage))

    assert (stage.probes, stage.restarts, stage.said) == (2, 0, [])


def test_what_is_wrong_with_code_that_was_not_taken_can_be_read_until_it_is_mended(
    stage: Stage,
) -> None:
    before = read_refused(stage.folder / "up")
    stage.write("x = (\n")
    stage.look(code(stage, tasks="cannot be imported"))
    refused = read_refused(stage.folder / "up")
    stage.write("x = 3\n")
    stage.look(code(stage))
    mended = read_refused(stage.folder / "up")
    stage.reloader.close()

    assert (before, refused, mended) == ((), ("cannot be imported",), ())
    assert read_refused(stage.folder / "up") is None


def test_broken_code_is_told_once_and_taken_when_it_is_mended(stage: Stage) -> None:
    stage.write("x = (\n")
    stage.look(code(stage, tasks="cannot be imported"))
    stage.write("x = ((\n")
    stage.look(code(stage, tasks="cannot be imported"))
    told, before = list(stage.said), stage.restarts
    # A second file mends the first: the first has not changed again.
    (stage.folder / "helper.py").touch()
    mended = code(stage)
    stage.look(replace(mended, files=mended.files | {stage.folder / "helper.py"}))

    assert [line.split()[:2] for line in told] == [["✗", "reload"], ["what", "runs"]]
    assert before == 0
    assert stage.restarts == 1


def test_code_that_ends_the_probe_is_told_with_its_last_words(stage: Stage) -> None:
    stage.write("import nothing\n")
    stage.look("Traceback\nModuleNotFoundError: No module named 'nothing'\n")

    assert stage.restarts == 0
    assert stage.said[-2].endswith("No module named 'nothing'")
    assert "what runs goes on with the code it has; mend it and save" in stage.said[-1]


def test_what_was_broken_from_the_start_stops_nobody(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.look(code(stage, other="was never right"))
    stage.write("x = 2\n")
    stage.look(code(stage, other="was never right"))

    assert (stage.restarts, len(stage.said)) == (1, 1)


def test_what_breaks_before_the_first_probe_has_told_is_no_part_of_what_runs(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.write("x = (\n")

    for _ in range(2):
        stage.look(code(stage, tasks="cannot be imported"))

    assert stage.restarts == 0
    assert "cannot be imported" in stage.said[-2]


def test_what_the_first_worker_says_of_its_code_saves_the_first_probe(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    facts = {"tasks": ["a"], "files": [str(stage.file)], "problems": {}}
    stage.reloader.first_answer.write_text(json.dumps(facts))

    stage.look(code(stage))

    assert (stage.probes, stage.restarts) == (0, 0)
    stage.write("y = 2\n")
    stage.look(replace(code(stage), tasks=frozenset({"a", "b"})))
    assert (stage.probes, stage.restarts) == (1, 1)
    assert "1 new task: b" in stage.said[-1]
