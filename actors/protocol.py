"""Which messages exist on the wire, in which lane they travel and whose bytes they are."""

from __future__ import annotations

from actors.steps import ballots, messages
from actors.transport.schema import Lane, MessageRegistry, TrafficClass

CONTROL = (
    messages.Dropped,
    messages.Taken,
    messages.Returned,
    messages.Done,
    messages.Want,
    messages.Offer,
    messages.Get,
    messages.Gone,
    messages.Denied,
    messages.Differs,
    messages.Saved,
    messages.Sealed,
    messages.Stored,
    messages.Abort,
    ballots.Lead,
    ballots.Promise,
    ballots.Propose,
    ballots.Accepted,
    ballots.Refused,
    ballots.Decided,
    ballots.Fetch,
    ballots.Beat,
    ballots.Again,
    ballots.Plan,
    ballots.Average,
    ballots.Prepared,
    ballots.Stuck,
    ballots.Holding,
    ballots.Join,
    ballots.Vouch,
    ballots.Enlist,
    ballots.Depart,
    ballots.Dismiss,
)

BACKGROUND = (messages.Chunk,)
"""What goes to somebody who catches up: it gives way to activations, gradients and slices on the same link."""


def build_registry() -> MessageRegistry:
    """Return the registry of this protocol version."""
    registry = MessageRegistry()
    for kind in CONTROL:
        registry.message(kind=kind.__name__.lower(), lane=Lane.CONTROL, traffic=TrafficClass.CONTROL, tensors=0)(kind)
    for tensor in (messages.Forward, messages.Backward):
        kind_name = tensor.__name__.lower()
        registry.message(kind=kind_name, lane=Lane.BULK, traffic=TrafficClass.BOUNDARY, tensors=1)(tensor)
    for part in (messages.Slice, *BACKGROUND):
        kind_name, background = part.__name__.lower(), part in BACKGROUND
        registry.message(
            kind=kind_name, lane=Lane.BULK, traffic=TrafficClass.AVERAGING, tensors=1, background=background
        )(part)
    return registry
