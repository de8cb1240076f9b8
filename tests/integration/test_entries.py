"""What the entries of an installed Celeriac import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.processes import PROJECT, clean_environment


@pytest.mark.parametrize(
    ("samples", "names"), [("on", {"process", "shop.pack"}), ("off", {"shop.pack"})]
)
def test_samples_are_there_unless_they_are_turned_off(
    tmp_path: Path, samples: str, names: set[str]
) -> None:
    file = tmp_path / "shop_tasks.py"
    file.write_text('from celeriac import task\n@task(name="shop.pack")\ndef pack(): ...\n')
    settings = {
        "CELERIAC_APP": str(file),
        "CELERIAC_DATA_DIR": str(tmp_path / "data"),
        "CELERIAC_SAMPLES": samples,
        "PYTHONPATH": str(PROJECT),
    }

    subprocess.run(
        [sys.executable, "-m", "celeriac.entries.probe", str(tmp_path / "answer")],
        cwd=tmp_path,
        env=clean_environment(settings),
        check=True,
    )

    found = set(json.loads((tmp_path / "answer").read_text())["tasks"])
    assert found & {"process", "shop.pack"} == names
