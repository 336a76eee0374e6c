"""Eras: a run that lost a whole stage returns to an earlier commit, and goes on in a new era.

Commits after the point of return exist twice: in the era that was given up, and in the one that replaced it. Whatever
is kept or still on its way from an era that was given up must not be taken for the new one's.
"""

from __future__ import annotations

from collections.abc import Sequence

Returns = tuple[tuple[int, int], ...]
"""(Step that was under way, commit that the run returned to), the newest last."""
MOST_RETURNS = 1 << 12
_STEPS = 1 << 32


def stamp(returns: Returns, step: int) -> int:
    """A number for a step of the newest era, above those of all steps of earlier ones."""
    return len(returns) * _STEPS + step


def follows(stamp_here: int, stamp_there: int) -> bool:
    """Whether a message is of the next era, of which we have not heard yet."""
    return stamp_there // _STEPS == stamp_here // _STEPS + 1


def origin(returns: Returns, commit: int) -> int:
    """The era that made a commit, as the newest era has it: 0 for the first one."""
    for era in range(len(returns), 0, -1):
        if commit > returns[era - 1][1]:
            return era
    return 0


def given_up(returns: Returns) -> int:
    """Steps that were committed and given up."""
    return sum(step - commit for step, commit in returns)


def wrong_returns(known: Returns, step: int, proposed: Returns, next_step: int) -> str:
    """Why a decision must not follow on what is known, empty when nothing forbids it.

    Args:
        known: returns so far.
        step: the step under way.
        proposed: returns in the decision.
        next_step: its step.
    """
    if proposed == known:
        return "" if next_step in (step, step + 1) else f"step {next_step} cannot follow on step {step}"
    if proposed[:-1] != known or len(proposed) > MOST_RETURNS:
        return "the returns so far would be forgotten"
    if proposed[-1] != (step, next_step) or not 0 <= next_step <= step:
        return f"a return from step {step} to commit {next_step} that says something else"
    return ""


def plausible_returns(returns: Sequence[tuple[int, int]]) -> bool:
    """Whether these can be returns at all."""
    return len(returns) <= MOST_RETURNS and all(0 <= commit <= step < _STEPS for step, commit in returns)
