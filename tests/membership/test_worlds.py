"""The membership core in thousands of seeded worlds; and worlds with a planted bug, which have to break.

`TESSERA_WORLDS=N` runs more of them; `python -m orchestrator.simulation.membership_seeds --seeds N` runs any number.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from actors.membership.accuse import Court
from actors.membership.membership import Membership
from actors.membership.rejoin import Rejoin
from actors.membership.suspicion import Suspicion
from orchestrator.simulation import membership_seeds as seeds
from orchestrator.simulation.faults import KINDS
from orchestrator.simulation.trace import Violation

WORLDS = max(50, int(os.environ.get("TESSERA_WORLDS", "2000")))
"""Of fifty, several reach every kind of fault."""


def test_every_world_keeps_its_promises() -> None:
    reached, broken = seeds.many(range(WORLDS), jobs=2)
    for kind, count in sorted(reached.items()):
        sys.stdout.write(f"{count:6} seeds reached {kind}\n")
    assert not broken, f"{len(broken)} of {WORLDS} worlds broke; the first:\n{broken[0]}"
    for kind in (*(f"fault {kind}" for kind in KINDS), "dead", "back", "refuted", "left", "join", "mild"):
        assert reached[kind] > WORLDS / 50, f"only {reached[kind]} seeds reached {kind!r}"


def test_a_world_is_replayed_by_its_seed() -> None:
    assert seeds.one(12) == seeds.one(12)


def _no_refutation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Membership, "_refute", lambda self, accusation: None)


def _suspicion_halved(patch: pytest.MonkeyPatch) -> None:
    whole = Suspicion.time
    patch.setattr(Suspicion, "time", lambda self, profile, others: whole(self, profile, others) / 2)


def _no_rejoin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rejoin, "_try", lambda self, one: None)


def _back_without_new_incarnation(patch: pytest.MonkeyPatch) -> None:
    bury = Court.bury

    def forgetful(self: Court, verdict: object) -> None:
        bury(self, verdict)  # type: ignore[arg-type]
        for gone in self._context.table.gone.values():
            gone.incarnation = 0

    patch.setattr(Court, "bury", forgetful)


@pytest.mark.parametrize("plant", [_no_refutation, _suspicion_halved, _no_rejoin, _back_without_new_incarnation])
def test_a_planted_bug_is_caught(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        for seed in range(400):
            seeds.one(seed)
