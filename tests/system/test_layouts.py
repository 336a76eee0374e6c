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
from tests.system.runs import EXACT, details, good

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SETTINGS = [*EXACT, "train.keep_every=0", "train.validate_every=0"]


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


def test_eight_steps_and_eight_are_sixteen_bit_for_bit(cluster: Cluster, tmp_path: Path) -> None:
    """Also from the checkpoint before, when the newest one is damaged."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    settings = [*SETTINGS, "layout.stages=2", "layout.replicas=1", "train.steps=16"]
    store, eight = tmp_path / "watched", tmp_path / "eight" / "watched"
    saving = [f"checkpoint.url={store}", "checkpoint.every=4", "checkpoint.last=20"]
    whole = bench.run("simulate", [*settings, *saving], "sixteen-whole", seconds=150)
    assert whole["totals"]["outcome"] == "finished"
    assert good(store) == [f"h0000-c{commit:010}" for commit in (16, 12, 8, 4)]
    assert_own_stage_only(opened(tmp_path))
    for commit in (4, 8):
        shutil.copytree(store / f"h0000-c{commit:010}", eight / f"h0000-c{commit:010}")
    again = [*settings, f"checkpoint.resume={eight}"]
    same = bench.run("simulate", again, "sixteen-again", seconds=120)
    assert_own_stage_only(opened(eight.parent))
    assert same["totals"]["outcome"] == "finished", same["totals"]["failure"]
    assert [step["step"] for step in same["steps"]] == list(range(8, 16))
    assert losses(same) == losses(after(whole, 8))
    assert sorted(same["steps"][-1]["hashes"].values()) == sorted(whole["steps"][-1]["hashes"].values())
    damage(next((eight / "h0000-c0000000008" / "stage-0001").glob("*.distcp")))
    before = bench.run("simulate", again, "sixteen-before", seconds=200)
    assert losses(before) == losses(after(whole, 4))
    assert any(".distcp" in text and "the checkpoint before it" in text for text in details(before, "checkpoint"))
    assert bench.orphans() == 0


def damage(path: Path) -> None:
    """Turn a bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


LAYOUTS = [
    "layout.stages=2 layout.replicas=2 layout.zero=0",
    "layout.stages=4 layout.replicas=1 layout.zero=2",
    "layout.stages=2 layout.replicas=1 layout.zero=3 layout.devices=2",
]
"""Each goes on from what the one before it wrote: more and fewer stages, replicas, local ranks and ZeRO stages."""


def test_a_run_wanders_over_layouts(cluster: Cluster, tmp_path: Path) -> None:
    """With momentum, so that the optimizer's state counts, too."""
    bench = Bench(cluster.address, cluster.keeper, cluster.output)
    store = tmp_path / "watched"
    settings = [*SETTINGS, "optimizer.momentum=0.9", f"checkpoint.url={store}"]
    ends = [4 * (number + 1) for number in range(len(LAYOUTS))]
    whole = bench.run("reference", [*settings, f"train.steps={ends[-1]}"], "wander-whole", seconds=120)
    for number, (begin, end) in enumerate(pairwise([0, *ends])):
        resume = [f"checkpoint.resume={store}"] if number else []
        held = holders(store, bench.folder / "wander-0") if number == 1 else []
        opened(tmp_path)
        layout = [*LAYOUTS[number].split(), f"train.steps={end}"]
        report = bench.run("simulate", [*settings, *layout, *resume], f"wander-{number}", seconds=150)
        assert report["totals"]["outcome"] == "finished", report["totals"]["failure"]
        assert [step["step"] for step in report["steps"]] == list(range(begin, end))
        assert relative_error(report, {"steps": whole["steps"][begin:end]}) < 1e-5, LAYOUTS[number]
        assert relative_error(report, {"steps": whole["steps"][begin:end]}, "grad_norm") < 1e-5, LAYOUTS[number]
        if number == 1:
            newest = f"c{begin:010}/"  # what it saves itself is another one
            read = [{path for path in mine if newest in path and path.endswith(".distcp")} for mine in opened(tmp_path)]
            assert sorted(map(sorted, read)) == sorted(map(sorted, held)), "no more and no less than has something"
    assert len(good(store)) == len(LAYOUTS)
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
