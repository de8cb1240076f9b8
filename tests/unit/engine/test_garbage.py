from __future__ import annotations

import gc

import pytest

from celeriac.engine.garbage import kept_for_good, look_again


def test_nothing_is_looked_for_while_a_program_imports_and_never_among_what_it_imported() -> None:
    before = gc.get_freeze_count()

    with kept_for_good():
        was_enabled = gc.isenabled()

    assert not was_enabled
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_it_is_looked_for_again_when_an_import_fails() -> None:
    with pytest.raises(ImportError), kept_for_good():
        raise ImportError

    assert gc.isenabled()


def test_a_pool_that_has_started_has_it_looked_for_again() -> None:
    gc.disable()

    look_again()

    assert gc.isenabled()
