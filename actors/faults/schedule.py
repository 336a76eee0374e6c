"""Fault schedules as text, one sentence a fault; simulated worlds and real runs take the same ones.

    kill stage-1/0 at step 5                         the whole participant, by SIGKILL; it starts again at once
    kill stage-1/0 20s at step 5                     and this one after 20 s
    kill leader mesh at step 5 averaging             its mesh process only; `shard`: its shard processes only
    freeze swift-otter shard 20s at second 12        SIGSTOP, and SIGCONT after 20 s
    slow stage-2 x4 30s at step 3                    its shards take four times as long
    partition stage-0/0+stage-1/0 20s at second 30   nothing passes between these and all others
    one-way stage-0/1 20s at step 4 forward          what it sends reaches nobody; it hears the others
    kill driver at step 3

A step's phases are those of whoever is hit: `forward` and `backward` when its shards begin such work, `averaging` when
its gradient is wanted, `prepared` between its report and the decision, `decided` between decision and update. A fault
happens the first time that its victim gets there in that step or a later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

LEADER, DRIVER = "leader", "driver"


class What(StrEnum):
    """Kinds of faults."""

    KILL = "kill"
    FREEZE = "freeze"
    SLOW = "slow"
    PARTITION = "partition"
    ONE_WAY = "one-way"


class Part(StrEnum):
    """Which processes of a participant."""

    PARTICIPANT = "participant"
    MESH = "mesh"
    SHARD = "shard"


class Phase(StrEnum):
    """Where in a step its participant is."""

    BEGIN = "begin"
    FORWARD = "forward"
    BACKWARD = "backward"
    AVERAGING = "averaging"
    PREPARED = "prepared"
    DECIDED = "decided"


PHASE_WORDS = [phase.value for phase in Phase if phase is not Phase.BEGIN]
"""As they are written."""


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule."""

    what: What
    who: tuple[str, ...]
    """Names, `stage-S`, `stage-S/R`, `leader` or `driver`."""
    part: Part = Part.PARTICIPANT
    seconds: float = 0.0
    """How long; a kill: after how long its process starts again."""
    factor: float = 1.0
    """slow: so many times the time."""
    step: int | None = None
    phase: Phase = Phase.BEGIN
    second: float | None = None
    """Seconds since training began, where no step is given."""

    def __str__(self) -> str:
        part = f" {self.part}" if self.part is not Part.PARTICIPANT else ""
        factor = f" x{self.factor:g}" if self.what is What.SLOW else ""
        seconds = f" {self.seconds:g}s" if self.seconds else ""
        phase = f" {self.phase}" if self.phase is not Phase.BEGIN else ""
        when = f"step {self.step}{phase}" if self.step is not None else f"second {self.second:g}"
        return f"{self.what} {'+'.join(self.who)}{part}{factor}{seconds} at {when}"

    def means(self, name: str, stage: int, replica: int) -> bool:
        """Whether a participant is named, by whatever word; the leader is not named."""
        return bool({name, f"stage-{stage}", f"stage-{stage}/{replica}"} & set(self.who))

    def hit(self, places: Iterable[tuple[str, int, int]]) -> list[str]:
        """Who of (name, stage, replica) has to be hit for the fault to have happened; roles stand for themselves."""
        roles = [role for role in (LEADER, DRIVER) if role in self.who]
        return [*roles, *(name for name, stage, replica in places if self.means(name, stage, replica))]


_FAULT = re.compile(
    r"(?P<what>kill|freeze|slow|partition|one-way) (?P<who>\S+)( (?P<part>mesh|shard|participant))?"
    r"( x(?P<factor>\d+(\.\d+)?))?( (?P<seconds>\d+(\.\d+)?)s)? at "
    r"(step (?P<step>\d+)( (?P<phase>begin|forward|backward|averaging|prepared|decided))?"
    r"|second (?P<second>\d+(\.\d+)?))"
)
FORM = (
    "write `kill|freeze|slow|partition|one-way WHO [mesh|shard] [xFACTOR] [SECONDSs] at step N [forward|backward|"
    "averaging|prepared|decided]` or `... at second T`"
)


def parse(text: str) -> Fault:
    """The reverse of `str`. Raises ValueError with one sentence."""
    found = _FAULT.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(f"{text!r} is no fault: {FORM}.")
    given = found.groupdict()
    fault = Fault(
        What(given["what"]),
        tuple(given["who"].split("+")),
        Part(given["part"] or Part.PARTICIPANT),
        float(given["seconds"] or 0),
        float(given["factor"] or 1),
        int(given["step"]) if given["step"] is not None else None,
        Phase(given["phase"] or Phase.BEGIN),
        float(given["second"]) if given["second"] is not None else None,
    )
    wrong = _wrong(fault)
    if wrong:
        raise ValueError(f"{text!r}: {wrong}.")
    return fault


def _wrong(fault: Fault) -> str:
    links = fault.what in (What.PARTITION, What.ONE_WAY)
    if "" in fault.who:
        return "a name is missing beside `+`"
    if fault.what is not What.KILL and not fault.seconds:
        return "say for how long, as in `20s`"
    if fault.what is What.KILL and fault.seconds and (fault.part is Part.SHARD or DRIVER in fault.who):
        return "shards start again at once, and a driver never: leave out the seconds"
    if (fault.what is What.SLOW) != (fault.factor != 1) or fault.factor < 1:
        return "`slow` needs a factor above 1, as in `x4`, and nothing else has one"
    if fault.part is not Part.PARTICIPANT and (links or fault.what is What.SLOW):
        return f"`{fault.what}` concerns a participant, not its processes: leave out `{fault.part}`"
    if DRIVER in fault.who:
        if len(fault.who) > 1:
            return "the driver is hit alone: write a fault of its own for the others"
        if links or fault.what is What.SLOW or fault.part is not Part.PARTICIPANT:
            return "the driver can be killed or frozen"
        if fault.phase is not Phase.BEGIN:
            return "the driver sees no phases of a step"
    return ""


def parse_all(texts: Sequence[str], places: Sequence[tuple[str, int, int]], steps: int) -> tuple[Fault, ...]:
    """A whole schedule for participants at (name, stage, replica). Raises ValueError for what could never happen."""
    known = {LEADER, DRIVER}
    for name, stage, replica in places:
        known |= {name, f"stage-{stage}", f"stage-{stage}/{replica}"}
    faults = tuple(parse(text) for text in texts)
    for text, fault in zip(texts, faults, strict=True):
        unknown = [who for who in fault.who if who not in known]
        if unknown:
            raise ValueError(f"{text!r}: there is no {unknown[0]}; there are {', '.join(sorted(known))}.")
        if fault.step is not None and fault.step >= steps:
            raise ValueError(f"{text!r}: the run has the steps 0 to {steps - 1}.")
        everybody = len(fault.hit(places)) == len(places)
        if fault.what in (What.PARTITION, What.ONE_WAY) and everybody and LEADER not in fault.who:
            raise ValueError(f"{text!r}: nobody is left on the other side.")
    return faults
