"""What is printed and written of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.mutation.mutant import Mutant
from tests.mutation.targets import AREAS, area_of
from tests.mutation.verdict import CAUGHT, NOT_COVERED, TIMEOUT, Verdict

LONG = 160


@dataclass
class Report:
    """A sample and what came of it."""

    seed: int
    verdicts: dict[int, Verdict]
    """By the number in the sample."""
    equivalent: list[tuple[Mutant, str]]
    seconds: float

    def counts(self, area: str = "") -> tuple[int, int]:
        """Return how many were caught, of how many."""
        verdicts = [each for each in self.verdicts.values() if area in ("", area_of(each.mutant.file))]
        return sum(each.outcome in (CAUGHT, TIMEOUT) for each in verdicts), len(verdicts)

    def summary(self) -> str:
        """The one line that counts."""
        outcomes = Counter(each.outcome for each in self.verdicts.values())
        rest = f"equivalent {len(self.equivalent)}, timeouts {outcomes[TIMEOUT]}, not covered {outcomes[NOT_COVERED]}"
        return f"caught {rate(*self.counts())}, {rest}"

    def text(self) -> str:
        """Everything for a reader: survivors with their differences, areas, the line that counts."""
        survived = {number: each for number, each in self.verdicts.items() if each.outcome not in (CAUGHT, TIMEOUT)}
        parts = [_survivor(number, each) for number, each in survived.items()]
        parts += [f"equivalent: {mutant}\n    {reason}\n" for mutant, reason in self.equivalent]
        unsteady = sorted({test for each in self.verdicts.values() for test in each.unsteady})
        parts += [f"unsteady: {test} failed with a mistake and passed with it the second time\n" for test in unsteady]
        areas = [(area.name, *self.counts(area.name)) for area in AREAS]
        parts += [f"{name:12} {rate(caught, total)}" for name, caught, total in areas if total]
        seconds = [each.seconds for each in self.verdicts.values()]
        per = sum(seconds) / max(1, len(seconds))
        parts.append(f"\n{per:.1f} s a mutant, {self.seconds / 60:.1f} minutes in all")
        return "\n".join([*parts, self.summary()])

    def json(self) -> dict[str, Any]:
        """Everything for a program."""
        caught, total = self.counts()
        return {
            "seed": self.seed,
            "caught": caught,
            "total": total,
            "seconds": round(self.seconds, 1),
            "areas": {area.name: self.counts(area.name) for area in AREAS},
            "mutants": [{"number": number, **_json(each)} for number, each in self.verdicts.items()],
            "equivalent": [{**_place(mutant), "reason": reason} for mutant, reason in self.equivalent],
        }


def rate(caught: int, total: int) -> str:
    """Return a count with its share."""
    return f"{caught} of {total} ({100 * caught / max(1, total):.1f} %)"


def line(verdict: Verdict) -> str:
    """One line of progress."""
    text = str(verdict.mutant)
    text = text if len(text) <= LONG else text[: LONG - 1] + "…"
    by = f" by {verdict.killer}" if verdict.killer else ""
    return f"{verdict.outcome:11} {text}  ({verdict.seconds:.1f} s{by})"


def _survivor(number: int, verdict: Verdict) -> str:
    choice = verdict.choice
    tests = f"{choice.covering - choice.left_out} of {choice.covering} tests that reach it were run"
    if choice.left_out:
        tests += f", the others are beyond the budget ({choice.left_out})"
    where = f"#{number} {verdict.mutant.file}:{verdict.mutant.line} in {verdict.mutant.function or 'the module'}"
    return f"{where}, {verdict.mutant.operator}: {verdict.outcome}, {tests}\n{verdict.mutant.diff()}"


def _place(mutant: Mutant) -> dict[str, Any]:
    before, after = mutant.texts
    return {
        "area": area_of(mutant.file),
        "file": mutant.file,
        "line": mutant.line,
        "function": mutant.function,
        "operator": mutant.operator,
        "before": before,
        "after": after,
    }


def _json(verdict: Verdict) -> dict[str, Any]:
    return {
        **_place(verdict.mutant),
        "outcome": verdict.outcome,
        "killer": verdict.killer,
        "why": verdict.why,
        "seconds": round(verdict.seconds, 2),
        "tests": verdict.choice.covering - verdict.choice.left_out,
        "beyond_budget": verdict.choice.left_out,
        "unsteady": verdict.unsteady,
        "diff": verdict.mutant.diff(),
    }
