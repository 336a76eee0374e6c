"""What one participant can tell about the whole run: the mesh as it believes it to be, its links, its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.membership.membership import Membership
from actors.membership.statements import Record
from actors.membership.view import state_of
from actors.records import LinkStatus, MeshStatus, ParticipantStatus, VoteStatus
from actors.steps.participant import Participant
from sharding.partition import partition, share, stage_parameters

if TYPE_CHECKING:
    from actors.node import Node

EVENTS = 20
"""Newest events shown."""


def describe_run(node: Node, participant: Participant | None) -> MeshStatus:
    """The whole run as the node's participant sees it."""
    spec = node.spec
    core = node.mesh.core if node.mesh is not None else None
    links = tuple(
        LinkStatus(
            link.name,
            link.up,
            None if link.rtt_s is None else link.rtt_s * 1000,
            link.sent_bytes,
            link.received_bytes,
        )
        for link in node.transport.links()
    )
    return MeshStatus(
        run_id=spec.run_id,
        phase=node.phase(),
        step=participant.step if participant else 0,
        total_steps=spec.train.steps,
        commit=max(0, participant.commit) if participant else 0,
        observer=spec.name,
        failure=node.failure,
        participants=_members(node, core, participant) if core is not None else (),
        links=links,
        events=tuple(event for _, event in list(node.journal.events)[-EVENTS:]),
        refused={**node.transport.refused, **(dict(core.refused) if core is not None else {})},
        view=f"{core.view_hash:016x}" if core is not None else "",
        health=core.health if core is not None else 0,
        beyond=_names(core, core.beyond) if core is not None else (),
        split=_names(core, core.split) if core is not None else (),
        paused=participant.why_paused if participant else "",
        committed_view=participant.context.view.number if participant else -1,
        votes=_votes(participant) if participant else (),
    )


def _votes(participant: Participant) -> tuple[VoteStatus, ...]:
    context = participant.context
    lost = context.votes_lost()
    voters = [member for member in context.view.members if member.peer_id not in context.view.dismissed]
    return tuple(VoteStatus(m.name, m.peer_id, m.life, lost.get(m.peer_id, "")) for m in voters)


def _names(core: Membership, peers: set[str]) -> tuple[str, ...]:
    return tuple(sorted(core.records[peer].name for peer in peers if peer in core.records))


def _members(node: Node, core: Membership, participant: Participant | None) -> tuple[ParticipantStatus, ...]:
    known = [record for record in core.records.values() if 0 <= record.stage < node.spec.layout.stages]
    known.sort(key=lambda record: (record.stage, record.name, record.peer_id))
    return tuple(_describe(node, core, record, participant) for record in known)


def _describe(node: Node, core: Membership, record: Record, participant: Participant | None) -> ParticipantStatus:
    spec, peer = node.spec, record.peer_id
    stage = partition(spec.model, spec.layout.stages)[record.stage]
    newest = node.journal.records[-1] if node.journal.records else None
    measured = newest.throughput.get(record.name, 0.0) if newest is not None else record.throughput
    own = peer == core.record.peer_id
    view = core.view_hash if own else core.views.get(peer)
    round_trip = core.round_trips.get(peer)
    suspicion = core.suspicions.get(peer)
    accusers = set(suspicion.accusers) if suspicion is not None else set()
    return ParticipantStatus(
        name=record.name,
        stage=record.stage,
        state=state_of(core, record),
        first_layer=stage.first_layer,
        last_layer=stage.last_layer,
        embedding=stage.embedding,
        head=stage.head,
        parameters=stage_parameters(spec.model, stage),
        share=share(spec.model, stage),
        tokens_per_s=measured,
        address=record.addresses[0].removeprefix("tcp:") if record.addresses else "",
        data_ok=newest is None or record.name in newest.sources or record.name not in newest.hashes,
        incarnation=record.incarnation,
        rtt_ms=None if round_trip is None else round_trip * 1000,
        view="" if view is None else f"{view:016x}",
        suspected_by=_names(core, accusers),
    )
