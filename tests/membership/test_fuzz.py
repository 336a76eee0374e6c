"""The short form of the fuzzer; the long one is `python -m tests.membership.fuzz`."""

from __future__ import annotations

from tests.membership.fuzz import Fuzz


def test_mutated_messages_change_nothing_that_was_not_signed() -> None:
    for seed in (1, 2):
        fuzz = Fuzz(seed)
        for _ in range(15_000):
            fuzz.one()
        fuzz.check()
        assert fuzz.refused > 1000
        assert fuzz.accepted > 1000
        assert fuzz.changes > 10, "the fuzzer reaches nothing"
        assert fuzz.target.refused["bad-signature"] + fuzz.target.refused["uncertified"] > 500


def test_the_fuzzer_catches_a_core_that_does_not_verify() -> None:
    fuzz = Fuzz(3)
    notary = fuzz.target._context.notary
    notary._check = lambda signer, body, signature: None  # type: ignore[method-assign]
    try:
        for _ in range(15_000):
            fuzz.one()
    except AssertionError as error:
        assert "nobody signed" in str(error)
    else:
        raise AssertionError("a core that verifies nothing was not caught")
