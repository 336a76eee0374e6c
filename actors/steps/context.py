"""What the parts of the step protocol share at one participant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from actors.membership.roster import Member, View, leader_of
from actors.steps.events import Effect, Failed, Payload, Send
from actors.steps.messages import Abort
from actors.steps.router import Router
from actors.steps.waits import Waits


@dataclass(frozen=True)
class StepSetup:
    """What the protocol needs of the run config."""

    stages: int
    steps: int
    microbatches: int
    tokens_per_microbatch: int
    in_flight: int
    """Microbatches that one origin keeps in flight."""
    validate_every: int
    validation_microbatches: int
    clip: float
    learning_rate: Callable[[int], float]
    """Step -> learning rate, for the record."""
    config_hash: str
    """Hash of what all participants must agree on."""
    floor_s: float
    """Shortest patience of a wait in seconds."""


@dataclass
class Context:
    """One participant's view of the run, and the effects collected while an event is handled."""

    setup: StepSetup
    view: View
    me: Member
    waits: Waits
    router: Router = field(default_factory=Router)
    now: float = 0.0
    step: int = 0
    commit: int = 0
    data_ok: set[str] = field(default_factory=set)
    """Identities whose corpus is the run's."""
    out: list[Effect] = field(default_factory=list)
    inbox: list[tuple[object, Payload]] = field(default_factory=list)
    """Messages to ourselves, handled within the same event."""
    failed: str = ""

    @property
    def last_stage(self) -> int:
        """Number of the stage with the loss."""
        return self.setup.stages - 1

    @property
    def leader(self) -> Member:
        """Who leads the current step."""
        return leader_of(self.view, self.step)

    def named(self, peer: str) -> str:
        """Return name and stage of a peer, for messages."""
        member = self.view.member(peer)
        return f"{member.name} (stage {member.stage})" if member else f"unknown peer {peer[:12]}"

    def name(self, peer: str) -> str:
        """Return the name of a peer."""
        member = self.view.member(peer)
        return member.name if member else peer[:12]

    def send(self, to: str, message: object, payload: Payload = ()) -> None:
        """Send to a member; what is for ourselves is handled before the event is over."""
        if to == self.me.peer_id:
            self.inbox.append((message, payload))
        else:
            self.out.append(Send(to, message, payload))

    def send_all(self, message: object) -> None:
        """Send to every member, ourselves included."""
        for member in self.view.members:
            self.send(member.peer_id, message)

    def fail(self, reason: str) -> None:
        """End the run here and tell everyone why."""
        if self.failed:
            return
        self.failed = reason
        self.waits.clear()
        self.inbox.clear()
        for member in self.view.members:
            if member.peer_id != self.me.peer_id:
                self.out.append(Send(member.peer_id, Abort(reason)))
        self.out.append(Failed(reason))
