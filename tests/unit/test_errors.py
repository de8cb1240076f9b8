from __future__ import annotations

import pickle

from celeriac.errors import FieldProblem, InvalidArgumentsError


def test_an_error_is_copied_with_its_facts() -> None:
    error = InvalidArgumentsError("text.shout", (FieldProblem("/times", "is too large"),))

    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, InvalidArgumentsError)
    assert str(copy) == str(error)
    assert (copy.name, copy.problems) == (error.name, error.problems)
