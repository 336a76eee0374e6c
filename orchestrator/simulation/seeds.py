"""Running many seeded worlds on several processors, and the command line for it."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

TOTAL = "total "
"""What begins so is counted as often as it happened, and not once a seed."""


def _attempt(one: Callable[[int], Counter[str]], seed: int) -> tuple[int, Counter[str], str]:
    try:
        return seed, one(seed), ""
    except Exception as error:
        return seed, Counter(), f"{type(error).__name__}: {error}"


def many(
    one: Callable[[int], Counter[str]],
    seeds: Iterable[int],
    jobs: int,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Counter[str], list[str]]:
    """Run the world of every seed; returns in how many each thing was reached, and what broke."""
    reached: Counter[str] = Counter()
    broken: list[str] = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for _, found, failure in pool.imap_unordered(partial(_attempt, one), seeds, chunksize=8):
            reached += found
            if failure:
                broken.append(failure)
                tell(failure)
    return reached, broken


def parser(description: str | None, seeds: int) -> argparse.ArgumentParser:
    """Options that all kinds of worlds have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=seeds, help="how many; 1 prints the trace of what breaks")
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2)
    return options


def run_seeds(one: Callable[[int], Counter[str]], given: argparse.Namespace) -> int:
    """Run worlds, say how many reached what; return the exit code."""
    if given.seeds == 1:
        one(given.first)
    reached, broken = many(one, range(given.first, given.first + given.seeds), given.jobs)
    for kind, count in sorted(reached.items()):
        if kind.startswith(TOTAL):
            sys.stdout.write(f"{count / given.seeds:9.3f} times a seed: {kind.removeprefix(TOTAL)}\n")
        else:
            sys.stdout.write(f"{count:6} seeds reached {kind}\n")
    sys.stdout.write(f"{given.seeds} seeds, {len(broken)} broken\n")
    for failure in broken[:20]:
        sys.stdout.write(f"{failure}\n")
    return 1 if broken else 0
