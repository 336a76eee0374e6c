"""What is mutated, by area, and what tests run with: the one place to change either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Area:
    """A part of the product whose mutants are counted together."""

    name: str
    globs: tuple[str, ...]
    without: tuple[str, ...] = ()


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


AREAS = (
    Area("steps", ("actors/steps/*.py",)),
    Area("membership", ("actors/membership/*.py",)),
    Area("averaging", ("actors/averaging/*.py",)),
    Area("participant", (*_in("actors", "vote_file", "stable_storage", "admission"),
                         *_in("actors/faults", "schedule", "trigger"))),
    Area("sharding", _in("sharding", "engine", "accumulate", "fragments", "partition", "schedule", "optimizer", "named",
                         "state", "spread", "loss")),
    Area("checkpoint", ("checkpoint/*.py",)),
    Area("frames", _in("actors/transport", "frame", "parser", "schema", "fields", "handshake", "liveness", "outbox",
                       "room", "uplink", "refusals")),
    Area("data", ("orchestrator/data/*.py",), _in("orchestrator/data", "hub", "standard_library")),
)  # fmt: skip

PACKAGES = ("actors", "checkpoint", "orchestrator", "sharding", "tests")
"""Packages of the project: a test must import them from the copy that has the mutant."""

MARKER = "not system"
"""Tests that may notice a mutant: those without Ray."""

WITHOUT = (
    "tests/system/*",
    "tests/mutation/*",  # tests of this tool
    "tests/transport/test_against_netlab.py",  # needs root, and names of the machine that two workers would share
)
"""Test files that are not run."""

SEEDS = {"TESSERA_STEP_SEEDS": "150", "TESSERA_ELASTIC_SEEDS": "40", "TESSERA_WORLDS": "150",
         "TESSERA_JOINT_SEEDS": "8"}  # fmt: skip
"""Thousands of worlds take minutes; so many find nearly what they find."""

PRELOADED = (
    "pytest", "_hypothesis_pytestplugin", "hypothesis", "numpy", "cryptography.x509", "msgpack",
    "blake3", "fsspec", "omegaconf", "psutil", "rich.progress", "tokenizers", "torch.distributed.checkpoint",
    "deepspeed", "ray", "s3fs", "moto.server", "numpy.random", "numpy.typing", "asyncio", "multiprocessing.pool",
)  # fmt: skip
"""Imported once by a worker, before it forks a process for every mutant; those that are not installed are left out."""


def area_of(file: str) -> str:
    """Return the area of a target file, "" for any other file."""
    path = Path(file)
    for area in AREAS:
        if any(path.match(glob) for glob in area.globs) and file not in area.without:
            return area.name
    return ""


def target_files(root: Path) -> list[str]:
    """Return all files that are mutated, relative to `root`."""
    found = {
        str(path.relative_to(root))
        for area in AREAS
        for glob in area.globs
        for path in root.glob(glob)
        if str(path.relative_to(root)) not in area.without
    }
    return sorted(found)
