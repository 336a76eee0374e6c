"""Imports point one way: orchestrator -> actors -> sharding, checkpoint; and the pure cores stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("orchestrator", "actors", "sharding", "checkpoint")
FORBIDDEN = {
    "sharding": {"actors", "orchestrator", "checkpoint", "ray", "asyncio", "socket"},
    "checkpoint": {"actors", "orchestrator", "sharding", "ray", "asyncio", "socket"},
    "actors": {"orchestrator"},
    # The generator that is handed in is typed `random.Random`; see the next test for the module's own functions.
    "actors/membership": {"orchestrator", "ray", "torch", "asyncio", "socket", "time"},
    "actors/steps": {"orchestrator", "ray", "torch", "asyncio", "socket", "time", "random"},
    "actors/averaging": {"orchestrator", "ray", "torch", "asyncio", "socket", "time", "random"},
    "actors/transport": {"orchestrator", "ray", "torch"},
    "orchestrator/data": {"ray", "torch"},
}


def imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Return the first parts of what a file imports; with `top_level` only what it imports when it is imported."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_rooms_import_only_what_they_may(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): bad for path in files if (bad := imported(path) & FORBIDDEN[room])}
    assert not wrong


def test_a_mesh_actor_does_not_import_torch() -> None:
    """Everything that the MeshActor's process imports, followed through our own packages."""
    seen: set[Path] = set()
    queue = [ROOT / "actors/mesh_actor.py", ROOT / "actors/node.py", ROOT / "actors/shards.py"]
    queue += [ROOT / "actors/transport/tcp.py", ROOT / "orchestrator/data/source.py"]
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        assert "torch" not in imported(path, top_level=True), path
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
                found = ROOT / (node.module.replace(".", "/") + ".py")
                if found.exists():
                    queue.append(found)
    assert len(seen) > 20


def test_checkpoints_are_listed_and_verified_without_torch() -> None:
    files = sorted((ROOT / "checkpoint").rglob("*.py"))
    assert not [path.name for path in files if "torch" in imported(path, top_level=True)]


def test_membership_draws_only_from_the_generator_it_was_given() -> None:
    used = {
        node.attr
        for path in (ROOT / "actors/membership").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert used == {"Random"}
    for path in (ROOT / "actors/membership").rglob("*.py"):
        assert "random.Random(" not in path.read_text(), f"{path.name} makes a generator of its own"
