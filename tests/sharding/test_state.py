"""A shard's state goes elsewhere and back, and training continues with the same bits."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [(0, "adamw", "fp32"), (1, "adamw", "bf16"), (2, "sgd", "fp32"), (3, "adamw", "fp32"), (0, "adamw", "bf16")]


@pytest.mark.parametrize(("zero", "optimizer", "dtype"), CASES)
def test_another_engine_goes_on_with_the_same_bits(zero: int, optimizer: str, dtype: str) -> None:
    command = [sys.executable, "-m", "tests.sharding.state_worker", str(zero), optimizer, dtype]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "same bits" in done.stdout
