"""Gauges and counters through `ray.util.metrics`.

Ray's agent on the driver's node exports them to Prometheus with the prefix `ray_` and labels of its own (`SessionName`,
`WorkerId` and so on) beside ours. A counter keeps its name: `_total` is not added twice.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

from actors.records import CommitRecord, Event, MeshStatus
from orchestrator.telemetry.mesh_map import STATES, differing

GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "tessera_loss": ("Training loss of the newest step, nats a token", ()),
    "tessera_validation_loss": ("Newest held-out loss, nats a token", ()),
    "tessera_grad_norm": ("Global gradient norm before clipping", ()),
    "tessera_tokens_per_second": ("Trained tokens over the duration of the newest step", ()),
    "tessera_participant_tokens_per_second": ("Measured speed of a participant's shards", ("participant", "stage")),
    "tessera_model_share": ("Parameters that a participant holds over all", ("participant", "stage")),
    "tessera_participants": ("Active participants of a stage", ("stage",)),
    "tessera_members": ("Members by the state that the observer believes", ("state",)),
    "tessera_view_mismatches": ("Members whose view hash is not the observer's", ()),
    "tessera_beyond_cut": ("Members that fell silent together, probably behind a cut", ()),
    "tessera_mesh_health": ("Local health score of the observer, 0 is well", ()),
}
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tessera_tokens_total": ("Trained tokens", ()),
    "tessera_boundary_bytes_total": ("Bytes over a boundary, both directions", ("boundary",)),
    "tessera_averaging_bytes_total": ("Gradient slices between replicas, bytes", ()),
    "tessera_control_bytes_total": ("All other bytes between participants", ()),
    "tessera_participant_microbatches_total": ("Microbatches a participant counted", ("participant", "stage")),
}


class RayMetrics:
    """A run's numbers as Ray metrics, all tagged with the run. Does nothing while this process has no Ray."""

    def __init__(self, run_id: str) -> None:
        self._run = run_id
        self._stage: dict[str, str] = {}
        self._made: dict[str, Any] = {}

    def phase(self, text: str) -> None:
        """Nothing to measure."""

    def event(self, event: Event) -> None:
        """Nothing to measure."""

    def close(self, outcome: str = "", failure: str = "") -> None:
        """Nothing: metrics end with the process."""

    def commit(self, record: CommitRecord) -> None:
        """Export a decided step."""
        if not _ray_runs():
            return
        speed = record.tokens / record.seconds if record.tokens and record.seconds > 0 else None
        self._set("tessera_loss", record.loss)
        self._set("tessera_validation_loss", record.validation_loss)
        self._set("tessera_grad_norm", record.grad_norm)
        self._set("tessera_tokens_per_second", speed)
        self._add("tessera_tokens_total", record.tokens)
        self._add("tessera_averaging_bytes_total", record.averaging_bytes)
        self._add("tessera_control_bytes_total", record.control_bytes)
        for boundary, sent in record.boundary_bytes.items():
            self._add("tessera_boundary_bytes_total", sent, boundary=str(boundary))
        for name, measured in record.throughput.items():
            self._set("tessera_participant_tokens_per_second", measured, **self._who(name))
        for name, indices in record.counted.items():
            self._add("tessera_participant_microbatches_total", len(indices), **self._who(name))

    def status(self, status: MeshStatus) -> None:
        """Export who is here; whoever is dead holds nothing and does nothing."""
        if not _ray_runs():
            return
        active: Counter[int] = Counter()
        for member in status.participants:
            self._stage[member.name] = str(member.stage)
            dead = member.state == "dead"
            active[member.stage] += member.state == "active"
            self._set("tessera_model_share", 0.0 if dead else member.share, **self._who(member.name))
            if dead:
                self._set("tessera_participant_tokens_per_second", 0.0, **self._who(member.name))
        states = Counter(member.state for member in status.participants)
        for state in STATES:
            self._set("tessera_members", states[state], state=state)
        self._set("tessera_view_mismatches", len(differing(status)))
        self._set("tessera_beyond_cut", len(status.beyond))
        self._set("tessera_mesh_health", status.health)
        for stage, number in active.items():
            self._set("tessera_participants", number, stage=str(stage))

    def _who(self, name: str) -> dict[str, str]:
        return {"participant": name, "stage": self._stage.get(name, "")}

    def _set(self, name: str, value: float | None, **tags: str) -> None:
        if value is not None and math.isfinite(value):
            self._metric(name).set(value, {"run": self._run, **tags})

    def _add(self, name: str, value: float, **tags: str) -> None:
        if value > 0:
            self._metric(name).inc(value, {"run": self._run, **tags})

    def _metric(self, name: str) -> Any:
        if name not in self._made:
            from ray.util import metrics

            kind, (description, tags) = (
                (metrics.Gauge, GAUGES[name]) if name in GAUGES else (metrics.Counter, COUNTERS[name])
            )
            self._made[name] = kind(name, description=description, tag_keys=("run", *tags))
        return self._made[name]


def _ray_runs() -> bool:
    """Whether this process is connected to Ray. Where nobody imported Ray it is not, and need not be imported now."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
