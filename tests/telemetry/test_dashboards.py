"""The Grafana dashboard and the Prometheus configuration that we ship."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from orchestrator.telemetry.ray_metrics import COUNTERS, GAUGES

CONFIGS = Path(__file__).resolve().parents[2] / "cluster_configs"


def test_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    dashboard = json.loads((CONFIGS / "grafana" / "tessera.json").read_text())
    labels = {f"ray_{name}": {"run", *tags} for name, (_, tags) in (GAUGES | COUNTERS).items()}
    asked = set()
    for target in (target for panel in dashboard["panels"] for target in panel["targets"]):
        names = re.findall(r"ray_tessera_\w+", target["expr"])
        assert names
        asked.update(names)
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels[names[0]]
    assert asked == set(labels), "every metric is shown, and none that is not exported"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((CONFIGS / "grafana" / "tessera.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_prometheus_reads_rays_discovery_file() -> None:
    config = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
