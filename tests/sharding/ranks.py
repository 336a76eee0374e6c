"""Runs a worker module once for every local rank."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_ranks(module: str, world: int, arguments: list[str], seconds: float = 170.0) -> list[dict[str, Any]]:
    """Start `module RANK WORLD ARGUMENTS` for all ranks; return what each printed last, as JSON."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(rank), str(world), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    results = []
    for process in ranks:
        output, errors = process.communicate(timeout=seconds)
        assert process.returncode == 0, errors[-3000:]
        results.append(json.loads(output.strip().splitlines()[-1]))
    return results
