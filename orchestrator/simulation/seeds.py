"""Running many seeded worlds on several processors."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial


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
