from __future__ import annotations

import json

import pytest

from celeriac.core.outcome import Ended
from celeriac.core.task import Codec, TaskId
from celeriac.engine.signing import Signer, is_worth_signing, new_key
from celeriac.errors import LedgerUnavailableError

TEXT = b'{"task_id":"a","status":"SUCCESS","result":3}'


def test_what_was_signed_is_known_again() -> None:
    signer = Signer(lambda: "key")

    signed = signer.sign(TEXT)

    assert signer.verify(signed) == TEXT
    assert Signer(lambda: "key").verify(signed) == TEXT


def test_a_signed_word_is_the_same_object_with_a_member_more() -> None:
    signed = json.loads(Signer(lambda: "key").sign(TEXT))

    assert len(signed.pop("signature")) == 64
    assert signed == json.loads(TEXT)


def test_every_byte_of_a_signed_word_counts() -> None:
    signer = Signer(lambda: "key")
    signed = signer.sign(TEXT)

    for place in range(len(signed)):
        changed = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
        assert signer.verify(changed) is None, place


@pytest.mark.parametrize("said", [b"", b"{}", b"}", TEXT, b"x" * 200])
def test_what_nobody_signed_is_not_believed(said: bytes) -> None:
    assert Signer(lambda: "key").verify(said) is None


def test_another_key_signs_nothing_for_us() -> None:
    assert Signer(new_key).verify(Signer(new_key).sign(TEXT)) is None


def test_without_a_ledger_nothing_is_signed_and_nothing_believed() -> None:
    keys = ["", "key"]
    signed = Signer(lambda: "key").sign(TEXT)

    def read_key() -> str:
        if not keys.pop(0):
            raise LedgerUnavailableError("away")
        return "key"

    signer = Signer(read_key)
    assert signer.sign(TEXT) == TEXT
    assert signer.verify(signed) == TEXT
    # The key is read once.
    assert signer.verify(signed) == TEXT


def test_an_empty_key_signs_nothing() -> None:
    assert Signer(lambda: "").sign(TEXT) == TEXT


@pytest.mark.parametrize(
    ("ended", "is_worth"),
    [
        (Ended(TaskId("a"), "completed", "3"), True),
        (Ended(TaskId("a"), "completed", None), True),
        (Ended(TaskId("a"), "completed", "3", Codec.TYPED), False),
        (Ended(TaskId("a"), "completed", '{"celeriac_file":"x"}'), False),
        (Ended(TaskId("a"), "failed"), False),
    ],
)
def test_only_what_says_everything_is_signed(ended: Ended, *, is_worth: bool) -> None:
    assert is_worth_signing(ended) is is_worth
