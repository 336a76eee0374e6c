"""Gauges and counters through `ray.util.metrics`; Ray exports them to Prometheus with the prefix `ray_`."""

from __future__ import annotations

from typing import Any

from actors.records import CommitRecord, MeshStatus

_TAGS = ("run", "stage", "participant")


class RayMetrics:
    """A run's numbers as Ray metrics, with the tags run, stage, participant (empty where they mean nothing)."""

    def __init__(self, run_id: str) -> None:
        self._run = run_id
        self._stages: dict[str, int] = {}
        self._gauges: dict[str, Any] = {}
        self._counters: dict[str, Any] = {}

    def commit(self, record: CommitRecord) -> None:
        """Export a decided step."""
        for name, value in (
            ("tessera_loss", record.loss),
            ("tessera_validation_loss", record.validation_loss),
            ("tessera_grad_norm", record.grad_norm),
            ("tessera_tokens_per_second", record.tokens / record.seconds if record.tokens and record.seconds else None),
        ):
            if value is not None:
                self._gauge(name).set(value, self._tags())
        for boundary, total in record.boundary_bytes.items():
            self._count("tessera_boundary_bytes_total", total, self._tags(stage=str(boundary)))
        self._count("tessera_tokens_total", record.tokens, self._tags())
        self._count("tessera_averaging_bytes_total", record.averaging_bytes, self._tags())
        self._count("tessera_control_bytes_total", record.control_bytes, self._tags())
        for name, speed in record.throughput.items():
            self._gauge("tessera_participant_tokens_per_second").set(speed, self._of(name))
        for name, indices in record.counted.items():
            self._count("tessera_participant_microbatches_total", len(indices), self._of(name))

    def status(self, status: MeshStatus) -> None:
        """Export who is here."""
        per_stage: dict[int, int] = {}
        for member in status.participants:
            self._stages[member.name] = member.stage
            per_stage[member.stage] = per_stage.get(member.stage, 0) + (member.state == "active")
            self._gauge("tessera_model_share").set(member.share, self._of(member.name))
        for stage, number in per_stage.items():
            self._gauge("tessera_participants").set(number, self._tags(stage=str(stage)))

    def _tags(self, stage: str = "", participant: str = "") -> dict[str, str]:
        return {"run": self._run, "stage": stage, "participant": participant}

    def _of(self, name: str) -> dict[str, str]:
        return self._tags(str(self._stages.get(name, "")), name)

    def _gauge(self, name: str) -> Any:
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            self._gauges[name] = Gauge(name, description=name.replace("_", " "), tag_keys=_TAGS)
        return self._gauges[name]

    def _count(self, name: str, value: float, tags: dict[str, str]) -> None:
        if name not in self._counters:
            from ray.util.metrics import Counter

            self._counters[name] = Counter(name, description=name.replace("_", " "), tag_keys=_TAGS)
        if value > 0:
            self._counters[name].inc(value, tags)
