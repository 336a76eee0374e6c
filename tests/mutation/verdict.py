"""What the tests say of a mutant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.mutation.choice import Choice
from tests.mutation.covering import KnownTest
from tests.mutation.mutant import Mutant
from tests.mutation.pool import Link

CAUGHT, TIMEOUT, SURVIVED, NOT_COVERED = "caught", "timeout", "survived", "not covered"


@dataclass
class Verdict:
    """The outcome for one mutant."""

    mutant: Mutant
    outcome: str
    choice: Choice
    seconds: float = 0.0
    killer: str = ""
    why: str = ""
    unsteady: list[str] = field(default_factory=list)
    """Tests that failed with the mistake once and passed with it the second time."""


def judge(link: Link, mutant: Mutant, choice: Choice) -> Verdict:
    """Run the chosen tests against a mutant. What fails is run again, so that chance does not count as catching."""
    if not choice.batches:
        return Verdict(mutant, NOT_COVERED, choice)
    verdict = Verdict(mutant, SURVIVED, choice)
    for batch in choice.batches:
        tests = list(batch)
        while tests:
            answer = _run(link, mutant, tests)
            verdict.seconds += answer["seconds"]
            failed = next((event for event in answer["events"] if event["event"] == "failed"), None)
            if answer["how"] == "timeout":
                verdict.outcome, verdict.killer = TIMEOUT, answer["test"]
                return verdict
            if failed is None and answer["code"] in (0, 5):
                break
            name = failed["test"] if failed else answer["test"]
            again = [test for test in tests if test.name == name]
            if failed is not None and again:
                second = _run(link, mutant, again)
                verdict.seconds += second["seconds"]
                if second["how"] == "ended" and second["code"] == 0:
                    verdict.unsteady.append(name)
                    tests = tests[tests.index(again[0]) + 1 :]
                    continue
            verdict.outcome, verdict.killer = CAUGHT, name
            verdict.why = failed["why"] if failed else f"pytest ended with {answer['code']}"
            return verdict
    return verdict


def _run(link: Link, mutant: Mutant, tests: list[KnownTest]) -> dict[str, Any]:
    limits = [(test.name, limit(test)) for test in tests]
    answer = link.ask({"do": "run", "file": mutant.file, "text": mutant.data.decode(), "tests": limits})
    for event in answer["events"]:
        if event["event"] == "alien":
            raise RuntimeError(f"{event['test']} comes from {event['why']}, not from the copy")
    return answer


def limit(test: KnownTest) -> float:
    """Seconds that a test may take with a mistake: ten times as long as without, and a while on top."""
    return 20.0 + 10.0 * test.alone
