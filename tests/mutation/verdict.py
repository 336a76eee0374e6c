"""What the tests say of a mutant."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.mutation.choice import Choice
from tests.mutation.covering import KnownTest
from tests.mutation.mutant import Mutant
from tests.mutation.pool import Link

CAUGHT, TIMEOUT, SURVIVED, NOT_COVERED = "caught", "timeout", "survived", "not covered"
NO_TESTS = 5
"""Pytest's exit code when there was no test left to run."""


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
            outcome, name, why = _run(link, verdict, tests)
            if outcome == SURVIVED:
                break
            again = [test for test in tests if test.name == name]
            if again and _run(link, verdict, again)[0] == SURVIVED:
                verdict.unsteady.append(name)
                tests = tests[tests.index(again[0]) + 1 :]
                continue
            verdict.outcome, verdict.killer, verdict.why = outcome, name, why
            return verdict
    return verdict


def _run(link: Link, verdict: Verdict, tests: list[KnownTest]) -> tuple[str, str, str]:
    """Return what came of tests, of which one, and why."""
    mutant = verdict.mutant
    limits = [(test.name, limit(test)) for test in tests]
    answer = link.ask({"do": "run", "file": mutant.file, "text": mutant.data.decode(), "tests": limits})
    verdict.seconds += answer["seconds"]
    for event in answer["events"]:
        if event["event"] == "alien":
            raise RuntimeError(f"{event['test']} comes from {event['why']}, not from the copy")
    if answer["how"] == "timeout":
        return TIMEOUT, answer["test"], "it did not end"
    failed = next((event for event in answer["events"] if event["event"] == "failed"), None)
    if failed is not None:
        return CAUGHT, failed["test"], failed["why"]
    if answer["code"] in (0, NO_TESTS):
        return SURVIVED, "", ""
    return CAUGHT, answer["test"], f"pytest ended with {answer['code']}"


def limit(test: KnownTest) -> float:
    """Seconds that a test may take with a mistake: ten times as long as without, and a while on top."""
    return 20.0 + 10.0 * test.alone
