"""A run is taken up again, on the same layout and on others; who opens which files of a checkpoint."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from checkpoint.catalogue import newest_good
from checkpoint.index import PartIndex
from checkpoint.load import load_index
from checkpoint.store import Store
from orchestrator.bench_elastic import Bench
from orchestrator.verify import relative_error
from tests.system.conftest import Cluster
from tests.system.test_checkpoints import SETTINGS, SGD, good

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def saved(report: dict[str, Any]) -> list[str]:
    """What was said of checkpoints."""
    return [event["detail"] for event in report["events"] if event["kind"] == "checkpoint"]


def losses(report: dict[str, Any]) -> dict[int, float]:
    """Step -> loss."""
    return {step["step"]: step["loss"] for step in report["steps"]}


def after(report: dict[str, Any], commit: int) -> dict[str, Any]:
    """A report's steps from a commit on."""
    return {"steps": [step for step in report["steps"] if step["step"] >= commit]}


FILE = re.compile(r"h\d{4}-c\d{10}/stage-\d{4}/p\d.*")


def opened(folder: Path) -> list[set[str]]:
    """Of every process that opened something: checkpoint/stage/file, without .metadata; then forget it all."""
    found = []
    for log in folder.glob("opened-by-*"):
        found.append({match[0] for line in log.read_text().splitlines() if (match := FILE.search(line))})
        log.unlink()
    return [mine for mine in found if mine]


def assert_own_stage_only(found: list[set[str]]) -> None:
    """Nobody has opened what another stage holds."""
    stages = [{path.split("/")[1] for path in mine} for mine in found]
    assert all(len(mine) == 1 for mine in stages), found
    assert set().union(*stages) == {"stage-0000", "stage-0001"}


@pytest.mark.parametrize("replicas", [1, 2])
def test_twenty_steps_and_twenty_are_forty(cluster: Cluster, tmp_path: Path, replicas: int) -> None:
    """Bit for bit with one replica; with two the sums are made in another order."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings, name = [*SETTINGS, *SGD, f"layout.replicas={replicas}", "train.steps=40"], f"forty-{replicas}"
    store, twenty = tmp_path / "watched", tmp_path / "twenty" / "watched"
    saving = [f"checkpoint.url={store}", "checkpoint.every=4", "checkpoint.last=20"]
    whole = bench.run("simulate", [*settings, *saving], f"{name}-whole", seconds=150)
    assert whole["totals"]["outcome"] == "finished"
    assert good(store) == [f"h0000-c{commit:010}" for commit in range(40, 0, -4)]
    assert_own_stage_only(opened(tmp_path))
    for commit in (16, 20):
        shutil.copytree(store / f"h0000-c{commit:010}", twenty / f"h0000-c{commit:010}")
    again = [*settings, f"checkpoint.resume={twenty}"]
    same = bench.run("simulate", again, f"{name}-again", seconds=120)
    assert_own_stage_only(opened(twenty.parent))
    assert same["totals"]["outcome"] == "finished", same["totals"]["failure"]
    assert [step["step"] for step in same["steps"]] == list(range(20, 40))
    assert relative_error(same, after(whole, 20)) < 1e-5
    if replicas == 2:
        reference = bench.run("reference", settings, f"{name}-plain", seconds=120)
        assert relative_error(whole, reference) < 1e-5 and relative_error(same, after(reference, 20)) < 1e-5
    if replicas == 1:
        assert losses(same) == losses(after(whole, 20))
        assert sorted(same["steps"][-1]["hashes"].values()) == sorted(whole["steps"][-1]["hashes"].values())
        damage(next((twenty / "h0000-c0000000020" / "stage-0001").glob("*.distcp")))
        before = bench.run("simulate", again, f"{name}-before", seconds=200)
        assert losses(before) == losses(after(whole, 16))
        assert any(".distcp" in text and "the checkpoint before it" in text for text in saved(before)), saved(before)
    assert bench.orphans() == 0


def damage(path: Path) -> None:
    """Turn a bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


LAYOUTS = [
    "layout.stages=2 layout.replicas=2 layout.zero=0",
    "layout.stages=4 layout.replicas=1 layout.zero=3",
    "layout.stages=2 layout.replicas=2 layout.zero=0",
    "layout.stages=2 layout.replicas=1 layout.zero=2 layout.devices=2",
]
"""Each goes on from what the one before it wrote: more and fewer stages, replicas, local ranks and ZeRO stages."""


@pytest.mark.parametrize("optimizer,limit", [("sgd", 1e-5), ("adamw", 1e-4)])
def test_a_run_wanders_over_layouts(cluster: Cluster, tmp_path: Path, optimizer: str, limit: float) -> None:
    layouts = LAYOUTS if optimizer == "sgd" else [LAYOUTS[3], LAYOUTS[1]]
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    rate = "0.03" if optimizer == "sgd" else "0.003"
    store = tmp_path / "watched"
    settings = [*SETTINGS, f"optimizer.name={optimizer}", f"optimizer.lr={rate}", f"checkpoint.url={store}"]
    ends = [4 * (number + 1) for number in range(len(layouts))]
    whole = bench.run("reference", [*settings, f"train.steps={ends[-1]}"], f"{optimizer}-whole", seconds=120)
    for number, (begin, end) in enumerate(pairwise([0, *ends])):
        resume = [f"checkpoint.resume={store}"] if number else []
        held = holders(store, bench.folder / f"{optimizer}-0") if number == 1 else []
        opened(tmp_path)
        layout = [*layouts[number].split(), f"train.steps={end}"]
        report = bench.run("simulate", [*settings, *layout, *resume], f"{optimizer}-{number}", seconds=150)
        assert report["totals"]["outcome"] == "finished", report["totals"]["failure"]
        assert [step["step"] for step in report["steps"]] == list(range(begin, end))
        assert relative_error(report, {"steps": whole["steps"][begin:end]}) < limit, layouts[number]
        if number == 1:
            newest = f"c{begin:010}/"  # what it saves itself is another one
            read = [{path for path in mine if newest in path and path.endswith(".distcp")} for mine in opened(tmp_path)]
            assert sorted(map(sorted, read)) == sorted(map(sorted, held)), "no more and no less than has something"
    assert len(good(store)) == len(layouts)
    assert bench.orphans() == 0


def holders(store: Path, run: Path) -> list[set[str]]:
    """Of each of the four stages: data files of the newest checkpoint that hold anything of it."""
    from orchestrator.config import load
    from sharding.engine import EngineSpec, StageEngine
    from sharding.partition import partition

    told = json.loads((run / "report.json").read_text())["config"]["model"]
    config = load(None, [*SETTINGS, f"model.vocab_size={told['vocab_size']}"])
    manifest, _ = newest_good(Store.open(str(store)))
    indexes: list[PartIndex] = [
        load_index(Store.open(str(store)), manifest.id, stage.stage, receipt)
        for stage in manifest.stages
        for receipt in stage.parts
    ]
    found = []
    for stage in partition(config.model, 4):
        engine = StageEngine(EngineSpec(config.model, stage, config.optimizer, 1, 0, 1))
        names = {one.name for one in engine.state_inventory()}
        found.append(
            {
                f"{manifest.id.stage(index.stage)}/{index.file_name(e.file)}"
                for index in indexes
                for e in index.entries
                if e.slice.name in names
            }
        )
    return found
