"""The mesh as a map of layers over participants, for terminals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.records import CommitRecord, MeshStatus, ParticipantStatus
from orchestrator.telemetry.files import plain
from orchestrator.telemetry.text import count, duration, layers, loss, share, shorten, size
from orchestrator.telemetry.timeline import moment

STATES = {
    "active": ("●", "green"),
    "joining": ("◐", "yellow"),
    "suspect": ("◍", "yellow"),
    "draining": ("◑", "cyan"),
    "left": ("◌", "bright_black"),
    "dead": ("○", "red"),
}
"""Mark and colour of a state; the marks differ too, for logs and for those who do not tell the colours apart."""
STAGE_COLOURS = ("blue", "cyan", "yellow", "magenta", "green", "bright_magenta", "bright_cyan", "bright_yellow")
MAP_WIDTH = 20
CROWD = 3
"""With more replicas than this a stage's line shows names only, and first of all whoever is not active."""
MAX_STAGES, MAX_LINKS, MAX_EVENTS, MAX_MEMBERS = 12, 16, 8, 24


def layer_bar(member: ParticipantStatus, total: int, width: int = MAP_WIDTH) -> Text:
    """Which of the model's `total` layers a participant holds, with a cell at each end for embedding and head."""
    inner = max(1, min(width - 2, total))
    bar = Text(no_wrap=True)
    colour = STAGE_COLOURS[member.stage % len(STAGE_COLOURS)]
    first, last = (round(place / max(total, 1) * inner) for place in (member.first_layer, member.last_layer))
    last = max(last, first + 1) if member.last_layer > member.first_layer else first
    held = [member.embedding, *(first <= cell < last for cell in range(inner)), member.head]
    for yes in held:
        bar.append("█" if yes else "·", colour if yes else "dim")
    return bar


def stage_map(status: MeshStatus) -> Group:
    """One line a stage: its layers on the map of the model, and who serves it. Never more than MAX_STAGES lines."""
    stages = _by_stage(status)
    total = _layers(status)
    lines = [_stage_line(stage, members, total) for stage, members in list(stages.items())[:MAX_STAGES]]
    if len(stages) > MAX_STAGES:
        lines.append(Text(f"… and {len(stages) - MAX_STAGES} more stages", "dim"))
    return Group(*lines)


def _stage_line(stage: int, members: list[ParticipantStatus], total: int) -> Text:
    """Cut at the terminal's edge, so the most important comes first."""
    active = sum(member.state == "active" for member in members)
    crowded = len(members) > CROWD
    shown = sorted(members, key=lambda member: member.state == "active") if crowded else members
    line = Text(no_wrap=True, overflow="ellipsis").append(f"stage {stage:<2} ", "bold")
    line.append_text(layer_bar(members[0], total))
    line.append(f" {active}/{len(members)}".ljust(5), "" if active == len(members) else "yellow")
    for member in shown:
        line.append("  ").append_text(_named(member, speed=not crowded))
    return line


def render_status(status: MeshStatus, latest: CommitRecord | None = None) -> RenderableType:
    """What `orchestrator status` prints: the run, its participants, and what the observer sees and refused."""
    parts: list[RenderableType] = [_headline(status)]
    if latest is not None:
        parts.append(_latest(latest))
    if status.failure:
        parts.append(Text(shorten(status.failure, 500), "bold red"))
    parts += vote_lines(status)
    parts += [Text(), _participants(status)]
    other = sorted(member.name for member in status.participants if not member.data_ok)
    if other:
        names = ", ".join(shorten(name, 40) for name in other)
        parts.append(Text(f"other data than the run's, so neither originate nor compute losses: {names}", "yellow"))
    if status.view:
        parts += [Text(), *view_lines(status), _mesh(status)]
    if status.links:
        parts += [Text(), _links(status)]
    if status.refused:
        reasons = ", ".join(f"{shorten(reason, 60)} {number}×" for reason, number in sorted(status.refused.items()))
        parts += [Text(), Text(f"refused, changed nothing: {reasons}", "yellow")]
    if status.events:
        parts += [Text(), *_events(status)]
    return Group(*parts)


def status_json(status: MeshStatus, latest: CommitRecord | None = None) -> dict[str, Any]:
    """The same for programs; `latest` is the newest record or null."""
    clean: dict[str, Any] = plain(asdict(status) | {"latest": None if latest is None else latest.to_dict()})
    return clean


def _headline(status: MeshStatus) -> Text:
    colour = {"failed": "red", "finished": "green"}.get(status.phase, "cyan")
    line = Text(shorten(status.run_id, 40), "bold").append("  ").append(status.phase, f"bold {colour}")
    line.append(f"  step {status.step}/{status.total_steps}  commit {status.commit}")
    return line.append(f"  seen by {shorten(status.observer, 30)}", "dim")


def _latest(latest: CommitRecord) -> Text:
    speed = latest.tokens / latest.seconds if latest.seconds > 0 else None
    line = f"loss {loss(latest.loss)}, validation {loss(latest.validation_loss)}, {count(speed)} tokens/s, "
    line += f"{duration(latest.seconds)} a step"
    sent = "  ".join(f"{b}→{b + 1} {size(n)}" for b, n in sorted(latest.boundary_bytes.items()))
    return Text(line + (f"\nboundaries {sent}" if sent else ""))


def _participants(status: MeshStatus) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("participant", no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column("stage", justify="right", no_wrap=True)
    table.add_column("layers", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis", max_width=16)
    for heading in ("share", "tokens/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    total = _layers(status)
    for members in _by_stage(status).values():
        for member in members:
            mark, colour = STATES.get(member.state, ("?", "white"))
            what = layers(member.first_layer, member.last_layer, member.embedding, member.head)
            table.add_row(
                Text(f"{mark} ", colour).append(shorten(member.name, 40), "default"),
                str(member.stage),
                layer_bar(member, total),
                what.replace("embedding", "emb").replace("layers ", "").replace("layer ", ""),
                share(member.share),
                count(member.tokens_per_s),
                Text(member.state, colour),
            )
    return table


def vote_lines(status: MeshStatus) -> list[Text]:
    """Why steps do not go on, and whose votes cannot be had; nothing while all is well."""
    lines = [Text(f"PAUSED: {shorten(status.paused, 500)}", "bold yellow")] if status.paused else []
    lost = [vote for vote in status.votes if vote.lost]
    if lost and status.committed_view > 0:
        names = _some([f"{vote.name} ({vote.lost})" for vote in lost], 9)
        text = f"view {status.committed_view}: {len(lost)} of {len(status.votes)} votes cannot be had: "
        lines.append(Text(text + names, "yellow"))
    return lines


def view_lines(status: MeshStatus) -> list[Text]:
    """What the observer believes of the mesh as a whole: its view, who has another one, whether the mesh looks cut."""
    here = [member for member in status.participants if member.state not in ("dead", "left")]
    other = differing(status)
    line = Text(f"view {status.view} of {shorten(status.observer, 20)}: {len(here)} members, ")
    if other:
        line.append(f"{len(other)} showed another one last", "yellow")
    else:
        line.append("all that were heard agree", "green")
    lines = [line]
    if status.health:
        lines.append(Text(f"its own health {status.health} of 8 (0 is well): it misses answers", "yellow"))
    if status.beyond:
        text = f"CUT: {len(status.beyond)} fell silent together and are tried again: {_some(status.beyond)}"
        lines.append(Text(text, "bold red"))
    if status.split:
        text = f"SPLIT VIEW: {_some(status.split)} stay with another view; compare `status --via` of both"
        lines.append(Text(text, "bold red"))
    return lines


def differing(status: MeshStatus) -> list[str]:
    """Names of members whose last shown view hash is not the observer's."""
    return [
        member.name
        for member in status.participants
        if member.state not in ("dead", "left") and member.view and member.view != status.view
    ]


def _some(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(shorten(name, 80) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _mesh(status: MeshStatus) -> Table:
    """Membership: those who are not simply there come first."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("member", no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column("state", no_wrap=True)
    table.add_column("incarnation", justify="right", no_wrap=True)
    table.add_column("round trip", justify="right", no_wrap=True)
    table.add_column("view", no_wrap=True)
    table.add_column("suspected by", no_wrap=True, overflow="ellipsis", max_width=22)
    ordered = sorted(status.participants, key=lambda member: (member.state == "active", member.stage, member.name))
    for member in ordered[:MAX_MEMBERS]:
        mark, colour = STATES.get(member.state, ("?", "white"))
        table.add_row(
            Text(shorten(member.name, 40)),
            Text(f"{mark} {member.state}", colour),
            str(member.incarnation),
            "–" if member.rtt_ms is None else f"{member.rtt_ms:.1f} ms",
            _view(member, status.view),
            Text(_some(member.suspected_by, 2), "yellow"),
        )
    if len(ordered) > MAX_MEMBERS:
        table.add_row(Text(f"… and {len(ordered) - MAX_MEMBERS} more", "dim"))
    return table


def _view(member: ParticipantStatus, own: str) -> Text:
    if member.state in ("dead", "left") or not member.view:
        return Text("–", "dim")
    return Text("equal", "green") if member.view == own else Text(f"≠ {member.view[:6]}", "yellow")


def _links(status: MeshStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(f"links of {shorten(status.observer, 20)}", no_wrap=True, overflow="ellipsis")
    table.add_column("state")
    for heading in ("round trip", "sent", "received"):
        table.add_column(heading, justify="right", no_wrap=True)
    for link in status.links[:MAX_LINKS]:
        trip = "–" if link.rtt_ms is None else f"{link.rtt_ms:.1f} ms"
        state = Text("up", "green") if link.up else Text("down", "red")
        table.add_row(Text(shorten(link.peer, 40)), state, trip, size(link.sent_bytes), size(link.received_bytes))
    if len(status.links) > MAX_LINKS:
        table.add_row(Text(f"… and {len(status.links) - MAX_LINKS} more", "dim"))
    return table


def _events(status: MeshStatus) -> list[Text]:
    return [
        Text(f"{moment(event.time)}  ", "dim").append(
            shorten(f"{event.participant or 'run'}: {event.kind}: {event.detail}", 200), "default"
        )
        for event in status.events[-MAX_EVENTS:]
    ]


def _named(member: ParticipantStatus, *, speed: bool) -> Text:
    mark, colour = STATES.get(member.state, ("?", "white"))
    text = Text(f"{mark} ", colour).append(shorten(member.name, 20), "default")
    if speed and member.state == "active" and member.tokens_per_s > 0:
        return text.append(f" {count(member.tokens_per_s)}/s", "dim")
    return text if member.state == "active" else text.append(f" {member.state}", colour)


def _by_stage(status: MeshStatus) -> dict[int, list[ParticipantStatus]]:
    stages: dict[int, list[ParticipantStatus]] = defaultdict(list)
    for member in sorted(status.participants, key=lambda member: (member.stage, member.name)):
        stages[member.stage].append(member)
    return stages


def _layers(status: MeshStatus) -> int:
    return max((member.last_layer for member in status.participants), default=0)
