"""Somebody joins a run with a large state over slow links: scripts/bench elastic --join."""

from __future__ import annotations

import argparse
import re
from itertools import pairwise
from statistics import median
from typing import Any

from orchestrator.bench_elastic import Busy, bench_cluster

LINK_MBPS = 80.0
STEP_S = 60.0
MICROBATCHES, TOKENS = 8, 64
SETTINGS = [
    "model.width=512",
    "model.layers=10",
    "model.heads=8",
    "model.kv_heads=4",
    "model.ffn=1408",
    "layout.stages=2",
    "layout.replicas=2",
    "layout.max_model_share=0.7",
    f"train.microbatches={MICROBATCHES}",
    "train.microbatch_size=1",
    f"train.sequence={TOKENS}",
    "train.validate_every=0",
    "train.steps=6",
    f"emulate.up_mbps={LINK_MBPS}",
    f"emulate.down_mbps={LINK_MBPS}",
    "emulate.delay_ms=10",
    f"emulate.tokens_per_s={MICROBATCHES * TOKENS / 2 / STEP_S:.3f}",
    "telemetry.wandb=disabled",
    "telemetry.progress=lines",
    "telemetry.ray_metrics=false",
]
"""Two stages of two, a state of more than 200 MB a stage (AdamW, fp32), and a step of a minute."""


def join(given: argparse.Namespace) -> dict[str, float]:
    """One participant joins in the third step."""
    busy = Busy()
    with bench_cluster(object_store_mb=3000) as bench, busy:
        settings = [*SETTINGS, "churn=[join at step 2]", *given.set]
        report = bench.run("simulate", settings, "joins", seconds=1500)
    return _figures(report) | {"cpu_busy": busy.share}


def _figures(report: dict[str, Any]) -> dict[str, float]:
    fetched = next(event for event in report["events"] if event["kind"] == "fetched")
    found = re.search(r"([\d.]+) MB, from .* in ([\d.]+) s", fetched["detail"])
    assert found is not None, fetched
    megabytes, seconds = float(found[1]), float(found[2])
    donors = fetched["detail"].partition(" from ")[2].partition(" in ")[0].count(",") + 1
    newcomer = fetched["participant"]
    with_it = f"with {newcomer}"
    active = next(event["time"] for event in report["events"] if event["kind"] == "view" and with_it in event["detail"])
    began = fetched["time"] - seconds
    least = megabytes * 8 / LINK_MBPS
    steps = report["steps"]
    spans = [(before["time"], after["time"]) for before, after in pairwise(steps)]
    during = [end - begin for begin, end in spans if begin < active and end > began]
    others = [end - begin for begin, end in spans[1:] if end <= began] or [spans[0][1] - spans[0][0]]
    moved = sum(step["averaging_bytes"] for step in steps[1:]) / max(1, len(steps) - 1)
    hashes = steps[-1]["hashes"]
    stage = steps[-1]["stages"].get(newcomer, -1)
    same = {hashes[name] for name, where in steps[-1]["stages"].items() if where == stage}
    return {
        "state_mb": megabytes,
        "donors": float(donors),
        "join_link_utilisation": least / seconds,
        "join_to_active_ratio": (active - began) / least,
        "others_step_time_ratio": max(during) / median(others),
        "averaging_share": moved * 8 / 1e6 / (4 * LINK_MBPS * median(others)),
        "step_s": median(others),
        "equal_hashes": float(stage >= 0 and len(same) == 1),
    }
