"""A seeded random sample: the same for a seed as long as the code is, and little else when some of it changes.

Every point has a number that is a hash of the seed and its name; the sample is the points with the lowest numbers. So
each point is as likely as any other, a longer sample begins with a shorter one, and code that changes takes only its
own points out of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from tests.mutation.mutant import Mutant
from tests.mutation.points import Point, compiles


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8])


def drawn(points: Iterable[Point], seed: int) -> Iterator[Mutant]:
    """Yield one mutant of each point in the order of the seed."""
    for point in sorted(points, key=lambda each: (_number(seed, each.key), each.key)):
        changes = list(point.spot.changes)
        first = _number(seed, "change", point.key) % len(changes)
        for change in changes[first:] + changes[:first]:
            if compiles(point, change):
                yield Mutant(point, change)
                break
