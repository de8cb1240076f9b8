"""The command line against a real service with a real worker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from celeriac.core.moments import utc_now
from celeriac.core.user import Role, Scope
from celeriac.ledger.open import open_ledger
from celeriac.service.keys import KeyRequest, KeyService
from celeriac.service.profiles import Profile, local_profile, write_profile
from celeriac.service.secrets import ensure_data_dir
from tests.servers.ports import free_port
from tests.servers.processes import PROJECT, clean_environment
from tests.servers.services import ServiceProcess
from tests.servers.valkey import ValkeyServer
from tests.servers.workers import WorkerProcess

Done = subprocess.CompletedProcess[str]


class CommandLine:
    """`celeriac …` in an environment of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *words: str, **environment: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "celeriac", *words],
            cwd=PROJECT,
            env=clean_environment({**self.environment, **environment}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    folder = tmp_path_factory.mktemp("commands")
    data = ensure_data_dir(folder / "data")
    with ValkeyServer(folder / "valkey") as broker:
        environment = {
            "CELERIAC_DATA_DIR": str(data),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "CELERIAC_BROKER_URL": broker.url,
            "CELERIAC_RATE_LIMIT": "100000/minute",
            "CELERIAC_PROCESS_SECONDS": "0.1",
            "PYTHONIOENCODING": "utf-8",
        }
        ledger = open_ledger(f"sqlite:///{data / 'ledger.db'}")
        ledger.users.add("ada", "", Role.OPERATOR)
        scopes = frozenset({Scope.READ, Scope.SUBMIT})
        request = KeyRequest(user="ada", label="test", scopes=scopes)
        made = KeyService(ledger, now=utc_now).create_key(request)
        ledger.close()
        service = ServiceProcess(folder=folder, environment=environment)
        worker = WorkerProcess(
            "celery_app", folder=folder, environment=environment, pool="solo", concurrency=1
        )
        with service, worker:
            service.wait_until(service.is_ready, "it is ready", seconds=30)
            worker.wait_ready()
            write_profile(local_profile(data), Profile(url=service.url, key=made.text))
            yield CommandLine(environment)


def test_a_task_is_submitted_once_and_waited_for(run: CommandLine) -> None:
    words = ("submit", "text.wordcount", "text=one two two", "--idempotency-key=once")
    done = run(*words, "--wait=30s", "--json")
    again = run(*words, "-q")

    assert done.returncode == again.returncode == 0, done.stderr
    task = json.loads(done.stdout)
    assert task["result"]["words"] == 3
    assert again.stdout.strip() == task["task_id"]


def test_a_quiet_command_prints_data_and_says_nothing(run: CommandLine) -> None:
    submitted = run("submit", "text.wordcount", "text=one two two", "--watch", "--json", "-q")

    task = json.loads(submitted.stdout)
    got = run("get", task["task_id"], "-q")
    described = run("tasks", "describe", "text.wordcount", "-q")
    assert (got.stderr, described.stderr) == ("", "")
    assert json.loads(got.stdout) == task["result"]
    assert described.stdout == "text\n"


def test_a_task_is_submitted_and_watched_to_its_result(run: CommandLine) -> None:
    done = run("submit", "text.wordcount", "text=one two two", "--watch")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["words"] == 3
    assert "text.wordcount" in done.stderr
    assert "completed after" in done.stderr
    assert "\033" not in done.stderr


def test_a_task_that_failed_ends_the_watch_with_3(run: CommandLine) -> None:
    done = run("submit", "flaky", "--max-attempts=1", "--watch")

    assert done.returncode == 3, done.stderr
    assert "failed after" in done.stderr
    assert done.stdout == ""
    task_id = done.stderr.split()[0]
    where, look, again = done.stderr.splitlines()[-3:]
    assert re.fullmatch(r"  celeriac/samples/flaky\.py:\d+ in flaky", where)
    got = run("tasks", "get", task_id)
    assert got.stderr.splitlines()[-1] == f"  where     {where.strip()}"
    assert re.fullmatch(rf"look at it: http://\S+/ui/tasks/{task_id}", look)
    assert again == f"run it again: python run.py tasks retry {task_id}"


def test_a_task_that_failed_is_told_of_after_a_wait_and_in_json(run: CommandLine) -> None:
    waited = run("submit", "flaky", "--max-attempts=1", "--wait=60s")
    shown = run("submit", "flaky", "--max-attempts=1", "--wait=60s", "--json", "-q")

    assert (waited.returncode, waited.stdout) == (3, "")
    assert "failed after" in waited.stderr
    assert (shown.returncode, shown.stderr) == (3, "")
    assert json.loads(shown.stdout)["status"] == "failed"


def test_a_task_that_was_cancelled_ends_the_wait_with_3(run: CommandLine) -> None:
    later = run("submit", "text.wordcount", "text=x", "--delay=1h", "-q")
    cancelled = run("tasks", "cancel", later.stdout.strip())

    waited = run("wait", later.stdout.strip())

    assert cancelled.returncode == 0, cancelled.stderr
    assert "cancelled" in cancelled.stderr
    assert waited.returncode == 3
    assert "cancelled after" in waited.stderr
    assert waited.stdout == ""


def test_arguments_that_do_not_fit_are_told_by_their_field(run: CommandLine) -> None:
    done = run("submit", "numbers.primes", "n=-5", "m=1")

    assert done.returncode == 6
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "error: numbers.primes: 2 invalid arguments"
    assert any(line.split()[0] == "n" for line in lines[1:])
    assert any(line.split()[0] == "m" for line in lines[1:])
    assert lines[-1] == "  fix   python run.py tasks describe numbers.primes says what it takes"


def test_quiet_leaves_what_a_script_wants(run: CommandLine) -> None:
    task_id = run("submit", "process", "data=x", "-q").stdout.strip()

    waited = run("wait", task_id, "-q")
    again = run("tasks", "retry", task_id, "-q")
    later = run("submit", "process", "data=x", "--delay=1h", "-q").stdout.strip()
    cancelled = run("tasks", "cancel", later, "-q")

    assert (waited.stdout, waited.stderr) == ('"Processed: x"\n', "")
    assert len(again.stdout.split()) == 1
    assert again.stderr == ""
    assert (cancelled.stdout, cancelled.stderr) == (f"{later}\n", "")
    assert "process" in run("task-types", "-q").stdout.splitlines()
    assert "default" in run("queues", "list", "-q").stdout.splitlines()
    assert run("user", "list", "-q").stdout.splitlines() == ["ada"]
    assert run("doctor", "-q").stdout == ""


def test_what_was_cancelled_is_printed_as_json(run: CommandLine) -> None:
    later = run("submit", "process", "data=x", "--delay=1h", "-q").stdout.strip()

    (body,) = json.loads(run("tasks", "cancel", later, "--json").stdout)

    assert (body["task_id"], body["state"]) == (later, "cancelled")


@pytest.mark.parametrize(
    ("words", "begin", "expected"),
    [
        (("submit",), "text.w", "text.wordcount"),
        (("tasks", "list", "--queue"), "def", "default"),
    ],
)
def test_the_shell_fills_in_names_of_the_service(
    run: CommandLine, words: tuple[str, ...], begin: str, expected: str
) -> None:
    asked = {
        "_CELERIAC_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("celeriac", *words, begin)),
        "COMP_CWORD": str(len(words) + 1),
    }

    assert run(**asked).stdout == f"plain,{expected}\n"


def test_the_shell_fills_in_ids_of_tasks(run: CommandLine) -> None:
    task_id = run("submit", "process", "data=x", "-q").stdout.strip()
    words = {"COMP_WORDS": f"celeriac get {task_id[:8]}", "COMP_CWORD": "2"}

    filled = run(_CELERIAC_COMPLETE="bash_complete", **words)

    assert f"plain,{task_id}" in filled.stdout.splitlines()


def test_a_file_becomes_a_text(run: CommandLine, tmp_path: Path) -> None:
    story = tmp_path / "story.txt"
    story.write_text("Once upon a time")

    done = run("submit", "text.wordcount", f"text=@{story}", "--watch")
    missing = run("submit", "text.wordcount", f"text=@{story}.missing")

    assert json.loads(done.stdout)["words"] == 4
    assert missing.returncode == 2


def test_a_task_is_waited_for_no_longer_than_asked(run: CommandLine) -> None:
    task_id = run("submit", "process", "data=x", "--delay=1h", "--tag=slow", "-q").stdout.strip()

    waited = run("wait", task_id, "--timeout=0.3s")
    shown = run("get", task_id)
    listed = run("tasks", "list", "--tag=slow", "-q")

    assert waited.returncode == 124
    assert "it goes on" in waited.stderr
    assert "its time has not come" in shown.stderr
    assert shown.stdout == ""
    assert listed.stdout == f"{task_id}\n"


def test_a_task_is_read_listed_and_retried(run: CommandLine) -> None:
    task_id = run("submit", "process", "data=x").stdout.strip()
    assert run("wait", task_id, "--timeout=20s").stdout == '"Processed: x"\n'

    body = json.loads(run("tasks", "get", task_id, "--json").stdout)
    listed = json.loads(run("tasks", "list", "--name=process", "--json").stdout)
    again = run("tasks", "retry", task_id, "data=y", "--watch")

    assert (body["task_id"], body["status"]) == (task_id, "completed")
    assert task_id in {each["task_id"] for each in listed["tasks"]}
    assert again.returncode == 0, again.stderr
    assert again.stdout == '"Processed: y"\n'


def test_what_can_be_submitted_is_listed_and_described(run: CommandLine) -> None:
    listed = run("task-types")
    described = run("tasks", "describe", "process")

    names = [line.split("\t")[0] for line in listed.stdout.splitlines()]
    assert names[0] == "TASK"
    assert {"process", "text.wordcount"} <= set(names)
    assert "python run.py submit process data=… --watch" in described.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("get", "no-such-id"), 5),
        (("submit", "no.such.task"), 5),
        (("submit", "process", "data"), 2),
        (("submit", "process", "--priority=10"), 2),
        (("get", ".."), 2),
        (("get", "no-such-id", "--output=."), 2),
        (("key", "list", "--user=nobody"), 5),
        (("tasks", "list", "--state=odd"), 2),
        (("tasks", "list", "--key=ck_nonsense"), 4),
        (("tasks", "list", "--url=http://127.0.0.1:8000"), 4),
    ],
)
def test_each_kind_of_refusal_has_an_exit_code(
    run: CommandLine, words: tuple[str, ...], code: int
) -> None:
    done = run(*words)

    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_name_that_is_not_there_is_told_with_the_one_that_was_meant(run: CommandLine) -> None:
    submitted = run("submit", "wordcout")
    listed = run("tasks", "list", "--name=wordcout")

    assert submitted.returncode == 5
    meant = "  fix   did you mean text.wordcount? python run.py task-types lists the names"
    assert submitted.stderr.splitlines()[-1] == meant
    assert "there is no task name wordcout; did you mean text.wordcount?" in listed.stderr


def test_a_value_without_its_name_is_told_with_what_to_write(run: CommandLine) -> None:
    done = run("submit", "text.wordcount", "Ada")

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "  fix   write text=Ada"


def test_a_service_that_is_not_there_is_told_with_7(run: CommandLine) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    done = run("task-types", CELERIAC_URL=url, CELERIAC_KEY="ck_any")

    assert done.returncode == 7
    assert done.stderr.splitlines() == [
        "error: not reachable",
        f"  why   there is no answer from {url}: Connection refused",
        "  fix   see that it runs there; --url or CELERIAC_URL names another",
    ]


def test_commands_import_no_library_of_the_service(run: CommandLine) -> None:
    program = (
        "import sys; from celeriac.cli import main; code = main(['tasks', 'list']);"
        "print([name for name in ('fastapi', 'celery', 'sqlalchemy', 'kombu', 'pydantic')"
        " if name in sys.modules], code, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=clean_environment(run.environment),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.splitlines()[-1] == "[] 0"


def test_the_doctor_finds_nothing_wrong(run: CommandLine) -> None:
    done = run("doctor")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    for word in ("ledger", "broker    Valkey", "noeviction", "queues", "workers", "secrets"):
        assert word in done.stdout


def test_the_doctor_names_a_queue_that_nobody_serves_and_what_helps(run: CommandLine) -> None:
    task_id = run("submit", "process", "data=x", "--queue=reports", "-q").stdout.strip()

    done = run("doctor", "--json")

    run("tasks", "cancel", task_id)
    assert done.returncode == 8
    (problem,) = [each for each in json.loads(done.stdout) if each["verdict"] == "problem"]
    assert "reports: 1 task waits and no worker serves it" in problem["text"]
    assert problem["fix"].startswith("python run.py worker --queues reports; or ")


def test_the_doctor_tells_what_is_away(run: CommandLine, tmp_path: Path) -> None:
    away = f"redis://:canary@127.0.0.1:{free_port()}/0"

    done = run("doctor", "--data", str(tmp_path), CELERIAC_BROKER_URL=away)

    assert done.returncode == 8
    assert "there is none in" in done.stdout
    assert "fix   python run.py up makes one" in done.stdout
    assert "tasks wait in the ledger until it is back" in done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_a_picture_is_sent_and_fetched(run: CommandLine, tmp_path: Path) -> None:
    picture, smaller = tmp_path / "größe.png", tmp_path / "small.png"
    Image.new("RGB", (80, 60), "orange").save(picture)

    sent = run("submit", "image.thumbnail", f"image=@{picture}", "width=40", "--watch")
    task_id = sent.stderr.split()[0]
    fetched = run("get", task_id, "--output", str(smaller))

    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["name"] == "größe-40x30.png"
    assert f"get {task_id} --output 'größe-40x30.png'" in sent.stderr
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout == ""
    with Image.open(smaller) as written:
        assert written.size == (40, 30)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_file_that_is_not_there_sends_nothing(run: CommandLine, tmp_path: Path) -> None:
    missing = run("submit", "image.grayscale", f"image=@{tmp_path / 'none.png'}")
    bare = run("submit", "image.grayscale", "image=cat.png")

    assert (missing.returncode, bare.returncode) == (2, 2)
    assert "no such file" in missing.stderr
    assert "write image=@cat.png" in bare.stderr


def test_a_result_that_is_not_there_leaves_the_file_alone(run: CommandLine, tmp_path: Path) -> None:
    kept = tmp_path / "kept.png"
    kept.write_text("mine")
    failed = run("submit", "flaky", "--max-attempts=1", "-q", "--watch").stdout.split()[0]

    done = run("get", failed, "--output", str(kept))

    assert done.returncode == 1, done.stderr
    assert "has no result: it is failed" in done.stderr
    assert kept.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [kept]
