from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli.misuse import MisuseError
from celeriac.cli.submit import open_file, read_text


@pytest.mark.parametrize("read", [open_file, read_text])
def test_a_file_that_is_not_there_is_told_of_in_the_same_words(
    tmp_path: Path, read: Callable[[str], Any]
) -> None:
    name = str(tmp_path / "none")

    with pytest.raises(MisuseError) as refused:
        read(name)

    assert refused.value.message == f"{name} cannot be read: there is no such file"
