"""Runs a worker module once for every local rank."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

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


def end_rank(result: dict[str, Any]) -> NoReturn:
    """Print the result of this rank and end its process at once, when all ranks are so far.

    Threads of torch that still run when the interpreter ends now and then abort it ("terminate called without an active
    exception"), which says nothing about what is tested.
    """
    import torch.distributed

    sys.stdout.write("\n" + json.dumps(result) + "\n")
    sys.stdout.flush()
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    os._exit(0)
