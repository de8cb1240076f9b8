"""Start Celeriac from a checkout, with nothing but Python 3.11 or newer.

    python run.py                     everything on this machine: the same as `python run.py up`
    python run.py up --port 8001      with options; `python run.py up --help` lists them
    python run.py check               the quick gate: format, lint, types, imports, fast tests
    python run.py test [PYTEST ARGS]  everything that must be green before a change lands
    python run.py coverage            which lines and branches the fast tests do not reach
    python run.py bench [OPTIONS]     ours beside the others; `bench --help` lists the rows
    python run.py docs                build the pages into build/docs; a warning is an error
    python run.py lock [--upgrade]    write requirements*.txt again (needs uv)
    python run.py WORD ...            what `celeriac WORD ...` does where it is installed:

        init  worker  submit  wait  get  tasks  task-types  queues  user  key  doctor
        completion  version
                                      `python run.py WORD --help` says more of each

The first start makes `.venv` beside this file and installs requirements.txt into it, every file
checked against its hash. Later starts see that nothing changed and go straight on.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the reader may have started it with any Python
    sys.exit(
        f"Celeriac needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.\n"
        "Start it with a newer one, for example: python3.11 run.py"
    )

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOCK = VENV / "run.lock"
STAMP = VENV / "run.stamp"
RUNTIME = ROOT / "requirements.txt"
# Holds the runtime's requirements too, in the same versions.
WITH_TOOLS = ROOT / "requirements-dev.txt"

TEXT_GATES = (
    ("ruff format", ("-m", "ruff", "format", "--check", ".")),
    ("ruff check", ("-m", "ruff", "check", ".")),
    ("mypy", ("-m", "mypy")),
    ("import-linter", ("-c", "from importlinter.cli import lint_imports_command as run; run()")),
)
DOCS = ("-m", "sphinx", "--fail-on-warning", "--keep-going", "docs", "build/docs")
NO_COLOUR = "--no-color"
FAST_TESTS = ("tests/unit", "tests/contract")
# More than there are cores at the least: half of the time a test waits for something.
SIDE_BY_SIDE = ("-n", "4")


def main(words: Sequence[str]) -> int:
    """Do what the words ask for and return the exit code."""
    if words and words[0] in ("-h", "--help", "help"):
        return show(__doc__ or "")
    # It may stand before any word, as it may for `celeriac` itself.
    first = next((each for each in words if each != NO_COLOUR), "")
    if not first or first.startswith("-"):
        words = ("up", *words)
    word, *rest = words
    if word == "lock":
        return lock_requirements(rest)
    if word not in ("bench", "check", "coverage", "docs", "test"):
        install(RUNTIME)
        return hand_over([str(PYTHON), "-m", "celeriac", *words])
    install(WITH_TOOLS)
    if word == "bench":
        return run([str(PYTHON), "-m", "benchmarks", *rest])
    if word == "docs":
        return run([str(PYTHON), *DOCS])
    if word == "coverage":
        return run_gates(coverage_gates())
    return run_gates(check_gates() if word == "check" else test_gates(rest))


# --- Installing ------------------------------------------------------------------------------


def install(wanted: Path) -> None:
    """See to it that `.venv` holds what the requirement file names."""
    if is_installed(wanted):
        return
    VENV.mkdir(exist_ok=True)
    with only_one(LOCK):
        # Another start may have installed it while this one waited.
        if is_installed(wanted):
            return
        # What is not in the file is removed, and a start takes no tools away.
        found = read_stamp()
        if found.get("file") == WITH_TOOLS.name:
            wanted = WITH_TOOLS
        began = time.monotonic()
        say(f"installing {wanted.name} into {VENV}: up to a minute or two, once")
        # Nothing is sure before anything changes: an interrupted install is seen, and done again.
        STAMP.write_text(json.dumps({"file": wanted.name}), encoding="utf-8")
        if found.get("python") != python_facts() or not PYTHON.exists():
            make_environment()
        fill_environment(wanted)
        STAMP.write_text(json.dumps(stamp_of(wanted)), encoding="utf-8")
        say(f"installed in {time.monotonic() - began:.0f} s")


def is_installed(wanted: Path) -> bool:
    """Say whether the last complete install gave all that the file names."""
    found, needed = read_stamp(), stamp_of(wanted)
    if wanted == RUNTIME:
        # It may have given the tools too, or those of an older list.
        found = {**found, "file": needed["file"], "sha256": needed["sha256"]}
    return PYTHON.exists() and found == needed


def read_stamp() -> dict[str, str]:
    """Return what the last install wrote down, empty when there was none.

    One that was interrupted has left the name of its file alone.
    """
    try:
        found = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def stamp_of(wanted: Path) -> dict[str, str]:
    """Return what stands in the stamp once the file is installed."""
    return {
        "python": python_facts(),
        "file": wanted.name,
        "runtime": digest_of(RUNTIME),
        "sha256": digest_of(wanted),
    }


def digest_of(file: Path) -> str:
    """Return what changes with the file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def python_facts() -> str:
    """Return what makes another environment necessary when it changes."""
    return f"{sys.version} {sys.base_prefix} {VENV}"


def make_environment() -> None:
    """Make `.venv` anew, without pip: that takes 0.1 s instead of 5 s."""
    for each in VENV.iterdir():
        if each in (LOCK, STAMP):
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    venv.create(VENV, with_pip=False, symlinks=os.name != "nt")


def fill_environment(wanted: Path) -> None:
    """Install the requirement file, with uv where it is, else with pip."""
    uv = shutil.which("uv")
    # A shim of a version manager may stand on the PATH with no uv behind it.
    if uv and run([uv, "--version"], silent=True) == 0:
        command = [uv, "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes"]
        code = run([*command, "--compile-bytecode", str(wanted)])
    else:
        command = [python_with_pip(), "-m", "pip", "--python", str(PYTHON), "install", "--quiet"]
        command += ["--disable-pip-version-check", "--require-hashes", "--requirement"]
        code = run([*command, str(wanted)])
    if code:
        fail(f"{wanted.name} could not be installed", "see the lines above; then start it again")


def python_with_pip() -> str:
    """Return a Python that has pip: this one, or the one that its environment was made from."""
    pythons = (sys.executable, getattr(sys, "_base_executable", sys.executable))
    has_pip = (each for each in pythons if run([each, "-c", "import pip"], silent=True) == 0)
    found = next(has_pip, None)
    if found is None:
        fail("there is no pip in this Python, and no uv on the PATH", "install one of the two")
    return found


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file, so that two starts do not install at once."""
    with path.open("a+b") as file:
        if not try_lock(file):
            say("another start is installing; waiting for it")
            while not try_lock(file):
                time.sleep(0.2)
        # The lock goes with the file, also when this process is killed.
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Take the lock on an open file, if nobody has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lock_requirements(options: Sequence[str]) -> int:
    """Write both requirement files again from what pyproject.toml and the .in file ask for."""
    uv = shutil.which("uv")
    if not uv:
        fail("`lock` needs uv", "https://docs.astral.sh/uv/ says how to install it")
    command = [uv, "pip", "compile", "--quiet", "--generate-hashes", "--no-header", *options]
    # One set of versions for every Python and system: what was tested is what runs.
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    for source, target in (("pyproject.toml", RUNTIME), ("requirements-dev.in", WITH_TOOLS)):
        code = run([*command, source, "--output-file", target.name])
        if code:
            return code
    return 0


# --- Gates -----------------------------------------------------------------------------------

Gate = tuple[str, tuple[str, ...]]


def check_gates() -> list[Gate]:
    """Return what the quick gate runs: one database of the two, and nothing that takes seconds."""
    quick = (*SIDE_BY_SIDE, "-k", "not postgresql", "-m", "not slow")
    return [*TEXT_GATES, ("fast tests", pytest(*quick, *FAST_TESTS))]


def test_gates(arguments: Sequence[str]) -> list[Gate]:
    """Return what decides whether a change lands; with arguments, those tests alone."""
    if arguments:
        return [*TEXT_GATES, ("tests", pytest(*arguments))]
    # In groups that share their servers, in the order in which they stand.
    with_servers = ["-n", "4", "--dist", "loadscope", "--no-loadscope-reorder"]
    with_servers += [f"--ignore={each}" for each in FAST_TESTS]
    return [
        *TEXT_GATES,
        ("fast tests", pytest(*SIDE_BY_SIDE, *FAST_TESTS)),
        ("tests with servers", pytest(*with_servers)),
    ]


def coverage_gates() -> list[Gate]:
    """Return what measures the fast tests, with the processes that they start."""
    return [
        ("fast tests", pytest(*SIDE_BY_SIDE, "--cov", "--cov-report=", *FAST_TESTS)),
        ("coverage", ("-m", "coverage", "report", "--skip-covered", "--skip-empty")),
    ]


def pytest(*arguments: str) -> tuple[str, ...]:
    """Return the command of one run of pytest."""
    return ("-m", "pytest", "-q", *arguments)


def run_gates(gates: Sequence[Gate]) -> int:
    """Run every gate, list them all at the end, and return the code of the first red one."""
    results = []
    for name, command in gates:
        say(f"--- {name}")
        began = time.monotonic()
        code = run([str(PYTHON), *command])
        results.append((name, code, time.monotonic() - began))
    say("--- summary")
    for name, code, seconds in results:
        say(f"{'ok ' if code == 0 else 'RED'}  {name:<20} {seconds:6.1f} s")
    return next((code for _, code, _ in results if code), 0)


# --- Processes -------------------------------------------------------------------------------


def run(command: Sequence[str], *, silent: bool = False) -> int:
    """Run a command at the project's root to its end and return its exit code."""
    stream = subprocess.DEVNULL if silent else None
    with subprocess.Popen(  # noqa: S603 - the commands stand in this file
        command, cwd=ROOT, env=environment(), stdout=stream, stderr=stream
    ) as process:
        return wait_for(process)


def hand_over(command: list[str]) -> int:
    """Become the command; where a process cannot, run it and return its exit code."""
    # From wherever it is started, this checkout has one data folder.
    everyday = {"CELERIAC_DATA_DIR": str(ROOT / ".celeriac"), **environment()}
    # What the texts tell somebody to type: celeriac/wording.py reads it.
    everyday["CELERIAC_COMMAND"] = command_word(sys.orig_argv[0], sys.argv[0])
    if os.name != "nt":
        os.execve(command[0], command, everyday)  # noqa: S606 - no shell is wanted
    with subprocess.Popen(command, env=everyday) as process:  # noqa: S603 - as above
        return wait_for(process)


def wait_for(process: subprocess.Popen[bytes]) -> int:
    """Return a child's exit code; on Ctrl-C, which reaches the child too, let it end first."""
    interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted and os.name != "nt":
            raise KeyboardInterrupt
        # A child that a signal ended has a negative code; shells say 128 + the signal.
        return 128 - code if code < 0 else code


def environment() -> dict[str, str]:
    """Return the environment in which the package of this checkout is found."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def command_word(python: str, script: str) -> str:
    """Return how this file is started by hand, from the words that started it."""
    # Any Python does, so its folder is no part of it; the one in a name such as python3.11 is.
    name = Path(python).name.removesuffix(".exe") or "python"
    return f"{name} {shlex.quote(script)}"


def show(text: str) -> int:
    """Print what was asked for; somebody who reads no further is no error."""
    try:
        print(text, flush=True)  # noqa: T201 - this is a program
    except BrokenPipeError:
        # Python would flush it once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def say(line: str) -> None:
    """Tell the reader how far it is."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is a program


def fail(what: str, fix: str) -> NoReturn:
    """End with what went wrong and what helps."""
    say(f"error: {what}\n  fix   {fix}")
    sys.exit(1)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
