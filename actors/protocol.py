"""Which messages exist on the wire, in which lane they travel and whose bytes they are."""

from __future__ import annotations

from actors.steps import messages
from actors.transport.schema import Lane, MessageRegistry, TrafficClass


def build_registry() -> MessageRegistry:
    """Return the registry of this protocol version."""
    registry = MessageRegistry()
    for kind in (
        messages.Ready,
        messages.Plan,
        messages.Returned,
        messages.Done,
        messages.Average,
        messages.Prepared,
        messages.Decision,
        messages.Abort,
    ):
        registry.message(kind=kind.__name__.lower(), lane=Lane.CONTROL, traffic=TrafficClass.CONTROL, tensors=0)(kind)
    for tensor in (messages.Forward, messages.Backward):
        kind_name = tensor.__name__.lower()
        registry.message(kind=kind_name, lane=Lane.BULK, traffic=TrafficClass.BOUNDARY, tensors=1)(tensor)
    registry.message(kind="slice", lane=Lane.BULK, traffic=TrafficClass.AVERAGING, tensors=1)(messages.Slice)
    return registry
