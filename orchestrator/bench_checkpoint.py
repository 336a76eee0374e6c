"""What checkpoints cost: scripts/bench checkpoint.

A run of four stages of two with a state of more than 1 GB saves beside its work; then one process writes and reads what
one participant does, in turns with plain writing and reading of the same files in the same store.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from orchestrator.bench_elastic import Busy, bench_cluster, step_times

EVERY, STEPS = 3, 12
STEP_S = 10.0
MICROBATCHES, TOKENS = 4, 32
SETTINGS = [
    "model.width=768",
    "model.layers=16",
    "model.heads=12",
    "model.kv_heads=6",
    "model.ffn=2112",
    "layout.stages=4",
    "layout.replicas=2",
    f"train.microbatches={MICROBATCHES}",
    "train.microbatch_size=1",
    f"train.sequence={TOKENS}",
    "train.validate_every=0",
    f"train.steps={STEPS}",
    "train.keep_every=0",
    f"emulate.tokens_per_s={MICROBATCHES * TOKENS / 2 / STEP_S:.3f}",
    "telemetry.wandb=disabled",
    "telemetry.progress=lines",
    "telemetry.ray_metrics=false",
]
REPEATS = 5


def options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("set", nargs="*", metavar="section.key=value")


def run(given: argparse.Namespace) -> dict[str, float]:
    """Measure."""
    busy = Busy()
    with bench_cluster(object_store_mb=3000) as bench:
        url = bench.folder / "checkpoints"
        saving = [f"checkpoint.url={url}", f"checkpoint.every={EVERY}", "checkpoint.last=2"]
        with busy:
            report = bench.run("simulate", [*SETTINGS, *saving, *given.set], "saves", seconds=1500)
        bench.orphans()
        alone = subprocess.run(
            [sys.executable, "-m", "orchestrator.bench_checkpoint", str(url), *SETTINGS, *given.set],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    times = dict(enumerate(step_times(report, 0), 1))
    saves = [seconds for step, seconds in times.items() if step % EVERY == 0]
    others = [seconds for step, seconds in times.items() if step % EVERY and step > 1]
    told = [event["detail"] for event in report["events"] if event["kind"] == "checkpoint"]
    figures: dict[str, float] = json.loads(alone.stdout.splitlines()[-1])
    return {
        "state_mb": figures.pop("state_mb"),
        "checkpoints": float(sum("is complete" in text for text in told)),
        "stall_ratio": median(saves) / median(others) - 1,
        "step_s": median(others),
        **figures,
        "cpu_busy": busy.share,
    }


def alone(url: str, settings: list[str]) -> dict[str, float]:
    """One stage of the newest checkpoint in a process of its own."""
    from checkpoint.catalogue import newest_good
    from checkpoint.names import CheckpointId
    from checkpoint.reader import Reader, bytes_needed
    from checkpoint.slices import Slice
    from checkpoint.store import Store
    from orchestrator.config import load
    from sharding.engine import EngineSpec, StageEngine
    from sharding.partition import partition

    config = load(None, [*settings, "model.vocab_size=256"])

    def engine(stages: int, stage: int) -> StageEngine:
        part = partition(config.model, stages)[stage]
        return StageEngine(EngineSpec(config.model, part, config.optimizer, 1, 0, STEPS))

    store = Store.open(url)
    manifest, _ = newest_good(store)
    mine = engine(4, 1)
    boxes = [Slice.of(one) for one in mine.state_inventory()]
    size = bytes_needed(boxes)
    files = [path for path in Path(url).glob(f"{manifest.id.folder}/stage-0001/*.distcp")]
    write, plain_write, read, plain_read = (list[float]() for _ in range(4))
    mine.load_named_state(Reader(store, manifest, [1]).read(boxes))
    with Peak() as peak:
        for number in range(REPEATS):
            data = [path.read_bytes() for path in files]
            plain_write.append(timed(partial(_put, store, number, data)))
            del data
            peak.begin()
            write.append(timed(partial(_save, store, mine, number)))
            peak.end()
            plain_read.append(timed(partial(_read, files)))
            read.append(timed(lambda: mine.load_named_state(Reader(store, manifest, [1]).read(boxes))))
            for folder in (f"plain-{number}", CheckpointId(9000 + number, 1).folder):
                store.delete_folder(folder)
    other = engine(3, 1)
    wanted = [Slice.of(one) for one in other.state_inventory()]
    reader = Reader(store, manifest)
    other.load_named_state(reader.read(wanted))
    return {
        "state_mb": manifest.tensor_bytes / 1e6,
        "write_utilisation": median(p / w for p, w in zip(plain_write, write, strict=True)),
        "write_mb_per_s": size / 1e6 / median(write),
        "restore_utilisation": median(p / r for p, r in zip(plain_read, read, strict=True)),
        "restore_mb_per_s": size / 1e6 / median(read),
        "bytes_read_ratio": reader.bytes_read / bytes_needed(wanted),
        "peak_memory_ratio": peak.ratio,
    }


def _save(store: Any, engine: Any, number: int) -> None:
    from checkpoint.names import CheckpointId, PartPlace
    from checkpoint.parts import write_part

    place = PartPlace(CheckpointId(9000 + number, 1), 1, 0, 1, "bench")
    write_part(store, place, engine.state_inventory(), engine.named_state())


def _read(files: list[Path]) -> None:
    for path in files:
        path.read_bytes()


def _put(store: Any, number: int, data: list[bytes]) -> None:
    for index, content in enumerate(data):
        store.put(f"plain-{number}/{index}", content)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Peak:
    """The most memory that this process had while it saved, over what it had before."""

    def __init__(self) -> None:
        self._process, self._before, self._most, self.ratio = psutil.Process(), 0, 0, 1.0
        self._measuring = self._ended = False

    def __enter__(self) -> Peak:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *given: object) -> None:
        self._ended = True

    def begin(self) -> None:
        """It begins to save."""
        self._before = self._most = self._process.memory_info().rss
        self._measuring = True

    def end(self) -> None:
        """It has saved."""
        self._measuring = False
        self.ratio = max(self.ratio, self._most / self._before)

    def _watch(self) -> None:
        while not self._ended:
            if self._measuring:
                self._most = max(self._most, self._process.memory_info().rss)
            time.sleep(0.005)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(alone(sys.argv[1], sys.argv[2:])) + "\n")
