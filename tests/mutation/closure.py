"""Which files of the project a test file depends on: its part of the map holds as long as all of them are the same."""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

from tests.mutation.targets import PACKAGES

DOTTED = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+")


class Closures:
    """Imports inside one tree."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._imports = cache(self._read)
        self.digest = cache(self._digest)

    def _digest(self, file: str) -> str:
        return hashlib.sha256((self._root / file).read_bytes()).hexdigest()

    def of(self, file: str) -> list[str]:
        """Return a file and all that it imports, directly or not, and the conftest files above it."""
        queue, seen = [file, *self._conftests(file)], set()
        while queue:
            one = queue.pop()
            if one not in seen:
                seen.add(one)
                queue += self._imports(one)
        return sorted(seen)

    def key(self, file: str, *others: str) -> str:
        """Return a hash of all that a test file depends on."""
        parts = [f"{one} {self.digest(one)}" for one in self.of(file)]
        return hashlib.sha256("\n".join([*parts, *others]).encode()).hexdigest()

    def _conftests(self, file: str) -> list[str]:
        above = [str(parent / "conftest.py") for parent in Path(file).parents]
        return [name for name in above if (self._root / name).is_file()]

    def _read(self, file: str) -> list[str]:
        """Modules that a file imports, or names in a string, as for a process that it starts."""
        names: set[str] = set()
        for node in ast.walk(ast.parse((self._root / file).read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names |= set(DOTTED.findall(node.value))
        return sorted({found for name in names for found in self._files(name)})

    def _files(self, name: str) -> list[str]:
        parts = name.split(".")
        if parts[0] not in PACKAGES:
            return []
        candidates = ["/".join(parts) + ".py"]
        candidates += ["/".join([*parts[:depth], "__init__.py"]) for depth in range(1, len(parts) + 1)]
        return [each for each in candidates if (self._root / each).is_file()]
