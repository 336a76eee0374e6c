"""The mesh as a map of layers over participants, for terminals."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.records import CommitRecord, MeshStatus, ParticipantStatus
from orchestrator.telemetry.files import plain
from orchestrator.telemetry.text import count, duration, layers, loss, share, size
from orchestrator.telemetry.timeline import moment

_STYLES = {"active": "green", "joining": "yellow", "dead": "red"}


def stage_map(status: MeshStatus) -> Table:
    """Return one line a stage: its layers, and who serves it."""
    table = Table.grid(padding=(0, 2))
    for stage in sorted({member.stage for member in status.participants}):
        members = [member for member in status.participants if member.stage == stage]
        first = members[0]
        names = Text("  ").join(_named(member) for member in members)
        range_ = layers(first.first_layer, first.last_layer, first.embedding, first.head)
        table.add_row(Text(f"stage {stage}", "bold"), Text(range_, "dim"), names)
    return table


def _named(member: ParticipantStatus) -> Text:
    text = Text("● ", _STYLES.get(member.state, "white")).append(member.name, "default")
    return text.append(f" {count(member.tokens_per_s)}/s", "dim") if member.tokens_per_s else text


def render_status(status: MeshStatus, latest: CommitRecord | None = None) -> RenderableType:
    """Return what `orchestrator status` prints."""
    line = f"{status.run_id}: {status.phase}, step {status.step}/{status.total_steps}, seen by {status.observer}"
    parts: list[RenderableType] = [Text(line, "bold")]
    if latest is not None and latest.loss is not None:
        speed = latest.tokens / latest.seconds if latest.seconds else None
        parts.append(Text(f"loss {loss(latest.loss)}, {count(speed)} tokens/s, {duration(latest.seconds)} a step"))
    if status.failure:
        parts.append(Text(status.failure, "bold red"))
    parts += [_participants(status), _links(status)]
    if status.refused:
        refused = ", ".join(f"{reason} {number}" for reason, number in sorted(status.refused.items()))
        parts.append(Text(f"refused: {refused}", "yellow"))
    for event in status.events[-8:]:
        parts.append(Text(f"{moment(event.time)} {event.participant} {event.kind}: {event.detail}", "dim"))
    return Group(*parts)


def _participants(status: MeshStatus) -> Table:
    table = Table("stage", "participant", "layers", "state", "tokens/s", "parameters", "share", "data", box=None)
    for member in sorted(status.participants, key=lambda entry: (entry.stage, entry.name)):
        table.add_row(
            str(member.stage),
            member.name,
            layers(member.first_layer, member.last_layer, member.embedding, member.head),
            Text(member.state, _STYLES.get(member.state, "white")),
            count(member.tokens_per_s),
            count(member.parameters),
            share(member.share),
            "ok" if member.data_ok else Text("another corpus", "yellow"),
        )
    return table


def _links(status: MeshStatus) -> Table:
    table = Table(f"links of {status.observer}", "state", "round trip", "sent", "received", box=None)
    for link in status.links:
        trip = "–" if link.rtt_ms is None else f"{link.rtt_ms:.1f} ms"
        state = Text("up", "green") if link.up else Text("down", "red")
        table.add_row(link.peer, state, trip, size(link.sent_bytes), size(link.received_bytes))
    return table


def status_json(status: MeshStatus) -> dict[str, Any]:
    """Return the same for programs."""
    clean: dict[str, Any] = plain(asdict(status))
    return clean
