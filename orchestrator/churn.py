"""Who comes and who goes during a simulated run: written as sentences, or replayed from a trace of real machines.

    join at step 5                  one more participant, which the mesh gives a stage
    join x3 at second 20            three of them
    join spare at step 5            one that follows a stage without working, as long as others work
    leave stage-0/1 at step 8       politely: it finishes what is under way, hands over, and goes
    remove newcomer-2 at step 9     without a word, and for good; newcomers are numbered in the order of their coming

A trace has lines `milliseconds,add|remove,node` (the form of the Bamboo project's spot-instance traces, Thorpe et al.
2023). The driver does these things: unlike faults they need somebody who holds the run's owner key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_FORM = re.compile(
    r"(?P<what>join|leave|remove)(?: (?P<who>[\w./-]+))?? ?(?:x(?P<count>\d+) )?"
    r"at (?P<unit>step|second) (?P<when>[\d.]+)"
)
MOST_AT_ONCE = 64
SPARE = "spare"


class Act(StrEnum):
    """What happens."""

    JOIN = "join"
    LEAVE = "leave"
    REMOVE = "remove"


@dataclass(frozen=True)
class Change:
    """One change of the mesh."""

    act: Act
    who: str
    """Name, stage-N/M or newcomer-N; for a newcomer, who gets a name, empty or `spare`."""
    step: int | None
    second: float | None
    """Of training; either this or `step` is given."""

    def __str__(self) -> str:
        when = f"step {self.step}" if self.step is not None else f"second {self.second:g}"
        return f"{self.act}{' ' + self.who if self.who else ''} at {when}"


def parse(text: str) -> list[Change]:
    """The changes that a sentence stands for. Raises ValueError with one sentence."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no change: write `join x2 at step 5`, `leave NAME at second 20` or `remove NAME ...`"
        )
    act, who, count = Act(found["what"]), found["who"] or "", int(found["count"] or 1)
    if act is Act.JOIN and who not in ("", SPARE):
        raise ValueError(f"{text!r}: newcomers get their names; write `join` or `join spare`")
    if act is Act.JOIN and not 1 <= count <= MOST_AT_ONCE:
        raise ValueError(f"{text!r}: 1 to {MOST_AT_ONCE} can join at once")
    if act is not Act.JOIN and (not who or found["count"]):
        raise ValueError(f"{text!r}: say who, as a name or as stage-0/1")
    step = int(float(found["when"])) if found["unit"] == "step" else None
    second = float(found["when"]) if found["unit"] == "second" else None
    return [Change(act, who, step, second)] * count


def parse_all(texts: Iterable[str], known: Sequence[tuple[str, int, int]], steps: int) -> list[Change]:
    """All changes of a run. Raises ValueError for one that could never happen.

    Args:
        texts: the sentences.
        known: (name, stage, replica) of those who are there from the beginning.
        steps: of the run.
    """
    changes = [change for text in texts for change in parse(text)]
    joins = sum(change.act is Act.JOIN for change in changes)
    names = {name for name, _, _ in known} | {f"newcomer-{number}" for number in range(1, joins + 1)}
    places = {f"stage-{stage}/{replica}": name for name, stage, replica in known}
    resolved = []
    for change in changes:
        who = places.get(change.who, change.who)
        if change.act is not Act.JOIN and who not in names:
            raise ValueError(f"{change}: there is no {change.who}; there is {', '.join(sorted(places))}")
        if change.step is not None and change.step >= steps:
            raise ValueError(f"{change}: the run has {steps} steps only")
        resolved.append(Change(change.act, who, change.step, change.second))
    return resolved


@dataclass(frozen=True)
class TraceLine:
    """One line of a trace."""

    second: float
    add: bool
    node: str


def read_trace(path: Path) -> list[TraceLine]:
    """The lines of a trace, in order of time. Raises ValueError with file, line and what is wrong."""
    try:
        rows = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the trace {path} cannot be read: {error}") from None
    lines: list[TraceLine] = []
    present: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        parts = [part.strip() for part in row.split(",")]
        try:
            at, act, node = parts
            second = float(at) / 1000
        except ValueError:
            raise ValueError(f"{path}, line {number}: {row!r} is not `milliseconds,add|remove,node`") from None
        if act not in ("add", "remove") or not second >= 0:
            raise ValueError(f"{path}, line {number}: {row!r} is not `milliseconds,add|remove,node`")
        if (act == "add") == (node in present):
            raise ValueError(f"{path}, line {number}: {node} is {'there already' if act == 'add' else 'not there'}")
        present ^= {node}
        lines.append(TraceLine(second, act == "add", node))
    return sorted(lines, key=lambda line: line.second)


def sentences(lines: Sequence[TraceLine], known: Sequence[str], speed: float = 1.0) -> list[str]:
    """A trace as sentences for a run that begins with `known` participants.

    Machines of the trace's first second are those participants, as far as they reach; all others are newcomers.

    Args:
        lines: the trace.
        known: names of those who begin the run.
        speed: so many times as fast as it was.
    """
    if not lines:
        return []
    begin, joined = lines[0].second, 0
    free, found = list(known), list[str]()
    names: dict[str, str] = {}
    for line in lines:
        when = f"at second {(line.second - begin) / speed:.1f}"
        if line.add and line.second - begin < 1.0 and free:
            names[line.node] = free.pop(0)
        elif line.add:
            joined += 1
            names[line.node] = f"newcomer-{joined}"
            found.append(f"join {when}")
        else:
            found.append(f"remove {names[line.node]} {when}")
    return found
