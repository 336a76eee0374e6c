"""Real engines saved and taken up again: the same bits on the same layout, the same losses on others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_goes_on_in_another_cut_and_on_another_zero_stage(optimizer: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.checkpoint.resume_worker", str(tmp_path), optimizer]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "resumed" in done.stdout
