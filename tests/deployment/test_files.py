"""What the files for a server say, read closely: no engine is needed for that."""

from __future__ import annotations

import configparser
import re
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from celeriac.settings import Settings
from deploy.make_secrets import contents
from tests.deployment.composed import compose, instructions
from tests.papers import read
from tests.servers.debian import find_program
from tests.servers.processes import PROJECT

DEPLOY = PROJECT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
# Not ours: the variables of the images we take, and Python's.
THEIRS = re.compile(r"POSTGRES_(USER|DB|PASSWORD_FILE)|PYTHON\w+|PATH")


def known_variables() -> set[str]:
    found = set()
    for each in fields(Settings):
        found.add(each.metadata["variable"])
        if each.metadata["is_secret"]:
            found.add(each.metadata["variable"] + "_FILE")
    return found


def is_known(variable: str) -> bool:
    return variable in known_variables() or THEIRS.fullmatch(variable) is not None


# --- The image -------------------------------------------------------------------------------


def test_every_image_is_named_with_its_version() -> None:
    images = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    images += [s["image"] for s in compose()["services"].values() if "build" not in s]

    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[a-z/]+:\d[\w.-]+", image), image


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and "--from=" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    ]

    assert len(copied) == 6
    for source in copied:
        # `tasks.p[y]` is copied if it is there: somebody's own tasks.
        assert (PROJECT / source).exists() or source == "tasks.p[y]", source
        assert f"!{source.replace('[y]', 'y')}" in allowed, source
    assert allowed[1] == "*"


def test_the_image_runs_as_nobody_in_particular() -> None:
    words = [word for word, _ in instructions()]
    (user,) = [rest for word, rest in instructions() if word == "USER"]

    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert words.index("USER") < words.index("CMD")
    assert "ADD" not in words
    assert "ARG" not in words


def test_the_image_installs_nothing_without_its_hash() -> None:
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "install --no" in rest]

    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert "--no-cache-dir" in install


def test_the_image_holds_no_secret_and_knows_its_variables() -> None:
    stated = " ".join(rest for word, rest in instructions() if word == "ENV")
    variables = re.findall(r"(\w+)=", stated)

    assert all(is_known(variable) for variable in variables), variables
    assert not any("KEY" in each or "SECRET" in each or "URL" in each for each in variables)


# --- Compose ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_a_service_of_compose_is_restarted_checked_and_known(name: str) -> None:
    service = compose()["services"][name]

    assert service["restart"] == "unless-stopped"
    # The image's own, or one in the file.
    assert "healthcheck" in service or name == "api"
    assert "privileged" not in service
    for variable in service.get("environment", {}):
        assert is_known(variable), variable


@pytest.mark.parametrize("name", ["api", "worker", "flower"])
def test_our_own_services_may_do_little(name: str) -> None:
    service = compose()["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    for needed in service["depends_on"].values():
        assert needed == {"condition": "service_healthy"}


def test_nothing_of_compose_listens_for_other_machines() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_every_secret_of_compose_is_a_file_that_make_secrets_writes() -> None:
    made = contents(database="d:1", broker="b:2", flower="f:3")
    stated = compose()["secrets"]
    used = {each for s in compose()["services"].values() for each in s.get("secrets", ())}

    assert {name: f"secrets/{name}" for name in made} == {n: s["file"] for n, s in stated.items()}
    assert used == set(made)
    assert "deploy/secrets/" in (PROJECT / ".gitignore").read_text().splitlines()


def test_no_value_of_compose_is_a_secret_or_has_a_default_for_one() -> None:
    for service in compose()["services"].values():
        for variable, value in service.get("environment", {}).items():
            if "URL" in variable or "KEY" in variable or "PASSWORD" in variable:
                assert variable.endswith("_FILE")
                assert str(value).startswith("/run/secrets/")
                assert str(value).removeprefix("/run/secrets/") in service["secrets"]


def test_secrets_are_made_once_and_behind_a_closed_door(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = [sys.executable, str(DEPLOY / "make_secrets.py"), str(folder)]

    first = subprocess.run(command, capture_output=True, text=True, check=False)
    before = {file.name: file.read_text() for file in folder.iterdir()}
    second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (first.returncode, second.returncode) == (0, 1)
    assert "exists already" in second.stderr
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(set(before.values())) == len(before)


@pytest.mark.parametrize(
    "line", re.findall(r"^.*(deploy/make_secrets\.py .*)$", read("docs/deployment.md"), re.M)
)
def test_secrets_are_made_as_the_page_says(tmp_path: Path, line: str) -> None:
    program, _, *options = line.split()

    done = subprocess.run(
        [sys.executable, program, str(tmp_path / "secrets"), *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "secrets").iterdir())) == 7


# --- systemd ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_what_exists_as_a_user_of_its_own(unit: Path) -> None:
    text = unit.read_text()
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # its options have capitals
    parser.read_string(text)

    assert parser["Service"]["User"] == "celeriac"
    assert parser["Service"]["NoNewPrivileges"] == "yes"
    assert parser["Service"]["Restart"] == "always"
    for variable in re.findall(r"^Environment=(\w+)=", text, re.MULTILINE):
        assert is_known(variable), variable
    made = contents(database="d:1", broker="b:2", flower="f:3")
    credentials = re.findall(r"^LoadCredential=(\w+):/etc/celeriac/secrets/(\w+)$", text, re.M)
    for name, file in credentials:
        assert name == file
        assert name in made
    assert set(re.findall(r"%d/(\w+)", text)) == {name for name, _ in credentials}


def test_the_environment_file_names_settings_alone() -> None:
    text = (DEPLOY / "systemd" / "celeriac.env").read_text()
    variables = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)

    assert len(variables) >= 4
    assert set(variables) <= known_variables()


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    analyze = find_program("systemd-analyze", package="systemd")
    for unit in UNITS:
        # Verified where the interpreter it names exists.
        text = unit.read_text().replace("/opt/celeriac/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)

    for unit in UNITS:
        verified = subprocess.run(
            [analyze, "verify", str(tmp_path / unit.name)],
            capture_output=True,
            text=True,
            check=False,
        )
        exposed = subprocess.run(
            [analyze, "security", "--offline=yes", "--threshold=25", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (verified.returncode, verified.stderr) == (0, "")
        assert exposed.returncode == 0, exposed.stdout
