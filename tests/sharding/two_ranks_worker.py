"""One of two ranks: all that is tested with two of them, one after the other, as starting them takes long.

python -m tests.sharding.two_ranks_worker RANK WORLD RENDEZVOUS FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from sharding.config import OptimizerConfig
from sharding.engine import EngineSpec, StageEngine
from sharding.partition import whole_stage
from tests.sharding.engines import TINY
from tests.sharding.moves import read, write
from tests.sharding.pipeline import STEPS, Pipeline, optimizer, reference
from tests.sharding.ranks import end_rank

CROSSED = ((0, 3), (1, 2), (2, 0), (3, 1))


def trained(zero: int, rank: int, world: int, meeting: str) -> dict[str, Any]:
    """Train two stages, and compare them with plain torch."""
    pipeline = Pipeline(zero, optimizer("sgd"), rank, world, meeting)
    for step in range(STEPS):
        pipeline.train(step)
    whole, parts = (
        sum(engine.parameters_count for engine in pipeline.engines),
        sum(len(engine.export_gradient()) for engine in pipeline.engines),
    )
    return {
        "parameters": pipeline.error(reference("sgd")[1]),
        "hashes": [engine.parameter_hash() for engine in pipeline.engines],
        "part": parts / whole,
    }


def updated(zero: int, ranks: dict[str, Any]) -> list[float]:
    """An update by SGD of all ones with the gradient 2, the rate 0.1 and the clip factor 0.5; what the ones become."""
    config = OptimizerConfig(name="sgd", lr=0.1, schedule="constant", warmup_steps=0, weight_decay=0.0)
    spec = EngineSpec(
        model=TINY, stage=whole_stage(TINY), optimizer=config, zero=zero, seed=0, total_steps=9, device="cpu", **ranks
    )
    engine = StageEngine(spec)
    engine.apply(np.full(len(engine.export_gradient()), 2.0, np.float32), 0.5, 0)
    return [float(value) for name, whole in engine.full_parameters() if "norm" in name for value in whole]


def main(rank: int, world: int, meeting: str, folder: Path) -> None:
    """See the file's docstring."""
    ranks: dict[str, Any] = {"rank": rank, "world": world, "rendezvous": meeting}
    out: dict[str, Any] = {"trained": [trained(zero, rank, world, meeting) for zero in range(4)]}
    out["updated"] = [updated(zero, ranks) for zero in range(4)]
    for optimizer_ in ("adamw", "sgd"):
        out[f"written {optimizer_}"] = [
            write(zero, "fp32", optimizer_, ranks, folder / f"two-{optimizer_}") for zero in range(4)
        ]
    out["two to two"] = [read(zero, zero, "fp32", "adamw", ranks, folder / "two-adamw") for zero in range(4)]
    out["one to two"] = [read(*pair, "bf16", "adamw", ranks, folder / "one-bf16") for pair in CROSSED]
    end_rank(out)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
