"""Who was here when: the life of every participant as segments of one stage and one state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from actors.records import ParticipantStatus


@dataclass
class Segment:
    """A time during which a participant's stage and state stayed the same; Unix seconds."""

    start: float
    end: float
    stage: int
    state: str


@dataclass
class Lane:
    """One participant: what was last known of it, and its segments in order."""

    status: ParticipantStatus
    segments: list[Segment] = field(default_factory=list)
    max_share: float = 0.0

    def see(self, status: ParticipantStatus, time: float) -> None:
        """Extend the newest segment, or begin another where stage or state changed."""
        self.status = status
        self.max_share = max(self.max_share, status.share)
        last = self.segments[-1] if self.segments else None
        if last is not None:
            last.end = max(last.end, time)
        if last is None or (last.stage, last.state) != (status.stage, status.state):
            self.segments.append(Segment(time, time, status.stage, status.state))

    def to_dict(self) -> dict[str, Any]:
        """The entry of `participants` in report.json."""
        status = self.status
        return {
            "name": status.name,
            "stage": status.stage,
            "parameters": status.parameters,
            "share": status.share,
            "first_layer": status.first_layer,
            "last_layer": status.last_layer,
            "embedding": status.embedding,
            "head": status.head,
            "state": status.state,
            "tokens_per_s": status.tokens_per_s,
            "first_seen": self.segments[0].start,
            "last_seen": self.segments[-1].end,
            "segments": [vars(segment).copy() for segment in self.segments],
        }


class Lanes:
    """All participants that a run ever had, by name."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}

    def see(self, participants: Iterable[ParticipantStatus], time: float) -> None:
        """Take over a newer description of some or all participants. Whoever is left out keeps its last one."""
        for status in participants:
            self._lanes.setdefault(status.name, Lane(status)).see(status, time)

    def close(self, time: float) -> None:
        """Draw the segments of everyone who is not dead out to the end of the run."""
        for lane in self._lanes.values():
            if lane.status.state != "dead":
                lane.segments[-1].end = max(lane.segments[-1].end, time)

    @property
    def max_share(self) -> float | None:
        """Largest share of the model that one participant ever held; None without participants."""
        return max((lane.max_share for lane in self._lanes.values()), default=None)

    def to_list(self) -> list[dict[str, Any]]:
        """Participants for report.json, by stage and name."""
        ordered = sorted(self._lanes.values(), key=lambda lane: (lane.status.stage, lane.status.name))
        return [lane.to_dict() for lane in ordered]
