"""A state goes by name from every ZeRO stage and number of ranks onto every other, and training goes on as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sharding.ranks import run_ranks


def run(world: int, pairs: str, folder: Path, dtype: str, optimizer: str) -> dict[str, Any]:
    """Run all ranks of a worker; return what they agree on."""
    meeting = folder / f"meeting-{world}-{pairs[0]}"
    tail = [str(meeting), pairs, str(folder), dtype, optimizer]
    results = run_ranks("tests.sharding.named_worker", world, tail)
    assert all(result == results[0] for result in results)
    return dict(results[0])


ALL = ",".join(f"{source}>{zero}" for source in range(4) for zero in range(4))
SAME = "0>0,1>1,2>2,3>3"
CROSSED = "0>3,1>2,2>0,3>1"
CASES = [
    (1, 1, ALL, "fp32", "adamw"),
    (2, 2, SAME, "fp32", "adamw"),
    (2, 1, CROSSED, "fp32", "sgd"),
    (1, 2, CROSSED, "bf16", "adamw"),
]


@pytest.mark.parametrize(("writers", "readers", "pairs", "dtype", "optimizer"), CASES)
def test_training_goes_on_from_any_layout_to_any(
    writers: int, readers: int, pairs: str, dtype: str, optimizer: str, tmp_path: Path
) -> None:
    written = run(writers, "write", tmp_path, dtype, optimizer)
    read = run(readers, pairs, tmp_path, dtype, optimizer)
    for pair, result in read.items():
        source, zero = pair.split(">")
        origin = written[source]
        assert result["before"] == origin["before"], f"{pair}: other parameters arrived"
        assert result["losses"] == pytest.approx(origin["losses"], rel=1e-5 if dtype == "fp32" else 2e-2), pair
        if writers == readers and source == zero:
            assert result == origin, f"{pair}: not the same bits on the same layout"
