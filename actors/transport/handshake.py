"""Is this hello acceptable? A pure decision; the caller acts on it."""

from __future__ import annotations

from collections.abc import Mapping

from actors.transport.base import Peer
from actors.transport.messages import Hello, Refusal
from actors.transport.schema import Lane

NOT_READY = "not-ready"
"""The members are not known yet: the dialler tries again, nothing is counted."""


def compatible(ours: Hello, theirs: Hello, peer_id: str) -> Refusal | None:
    """Why two participants cannot talk at all, or None: they speak different protocols, or train different runs."""
    who = f"{theirs.name[:64]!r} ({peer_id[:8]})"
    if theirs.protocol != ours.protocol:
        versions = f"{theirs.protocol} (software {theirs.software[:32]}), here it is {ours.protocol} ({ours.software})"
        return Refusal("wrong-version", f"{who} speaks protocol {versions}")
    if theirs.run_id != ours.run_id:
        return Refusal("wrong-run", f"{who} is of run {theirs.run_id[:64]!r}, this is run {ours.run_id!r}")
    return None


def judge(
    ours: Hello, theirs: Hello, peer_id: str, own_id: str, members: Mapping[str, Peer] | None, dialled: Lane | None
) -> Refusal | None:
    """Why a hello is refused, or None.

    `dialled` is the lane of a connection that we dialled ourselves, None for an accepted one; `members` is None
    until the owner has named any. The one with the smaller id dials, so two never cross.
    """
    if (refusal := compatible(ours, theirs, peer_id)) is not None:
        return refusal
    who = f"{theirs.name[:64]!r} ({peer_id[:8]})"
    if members is None:
        return Refusal(NOT_READY, f"{ours.name} does not know its members yet")
    if peer_id not in members:
        return Refusal("not-a-member", f"{who} has a certificate of this run but is no member")
    if dialled is not None and theirs.lane is not dialled:
        return Refusal("wrong-lane", f"{who} answered for the {theirs.lane.name.lower()} lane")
    if dialled is None and peer_id >= own_id:
        return Refusal("wrong-direction", f"{who} dialled, but its id is the larger one")
    return None
