from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.service.profiles import local_profile, user_profile


def test_the_profile_of_this_machine_lies_in_the_data_folder(tmp_path: Path) -> None:
    assert local_profile(tmp_path) == tmp_path / "profile.json"


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CONFIG_HOME": "/config"}, Path("/config")),
        ({"APPDATA": "/appdata"}, Path("/appdata")),
        # the first one counts
        ({"XDG_CONFIG_HOME": "/config", "APPDATA": "/appdata"}, Path("/config")),
        # an empty one is none
        ({"XDG_CONFIG_HOME": ""}, Path.home() / ".config"),
        ({}, Path.home() / ".config"),
    ],
)
def test_the_profile_of_a_user_lies_where_their_settings_do(
    environment: dict[str, str], folder: Path
) -> None:
    assert user_profile(environment) == folder / "celeriac" / "profile.json"
