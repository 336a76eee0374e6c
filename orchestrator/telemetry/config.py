"""Where a run's numbers go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TelemetryConfig:
    """Progress, report, Ray metrics and wandb; none of them can stop a run."""

    output: str = "outputs"
    """Folder for the runs' own folders (`<output>/<run id>`)."""
    progress: str = "auto"
    """`live` (a display), `lines` (one line a step), or `auto` (live on a terminal)."""
    ray_metrics: bool = True
    """Export counters and gauges through ray.util.metrics."""
    wandb: str = "offline"
    """offline, online or disabled."""
    wandb_project: str = "tessera"
    """Project name in wandb."""
