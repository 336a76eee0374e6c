"""A leader's patience: a round that took long once may take as long again."""

from __future__ import annotations

from actors.steps.ballots import Accepted, Average, Decided, Propose
from actors.steps.messages import Done, Purpose
from tests.steps.builders import Desk, commit_of, decision_of, leading, notes, prepared_of, sent, voters

ABC = voters(a=0, b=0, c=0)


def averages(desk: Desk, step: int) -> int:
    """All microbatches come through; returns the number of the order that calls for the average."""
    effects = []
    for index in range(4):
        effects += desk.hear("b", Done(step, index, Purpose.TRAIN, 1.0, ("b",)))
    return sent(effects, Average)[0][1].number


def test_an_average_may_take_as_long_as_the_one_before_it() -> None:
    """100 s each, where the floor of patience is 10. All replicas report at the same time, as rounds end for all."""
    desk = leading(decision_of(ABC), "bc", stages=1)
    number = averages(desk, 3)
    assert not notes(desk.wait(100.0), "averaging")
    desk.hear("b", prepared_of((0, 1, 2, 3), at=(6, 0, number)))
    assert sent(desk.hear("c", prepared_of((), at=(6, 0, number))), Propose)
    desk.hear("b", Accepted(6, 0, 1))
    for slot in (7, 8):  # led by b and c
        desk.hear("b", Decided(commit_of(ABC, slot=slot, step=slot - 2, holders=("b", "c"))))
    assert desk.agreement.slot == 9 and desk.core.leads
    averages(desk, 6)
    assert not notes(desk.wait(100.0), "averaging")
