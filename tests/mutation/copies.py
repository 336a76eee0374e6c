"""Private copies of the tree, in which mistakes may be planted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

FOLDER = "tm-"
"""Temporary folders of a run begin with this."""


def project_files(root: Path) -> list[str]:
    """Return the files of a working tree: those git tracks, and new ones that it does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in listed if name and (root / name).is_file()})


def copy_files(root: Path, files: Iterable[str], into: Path) -> None:
    """Copy files of a tree to another place; the times of change are kept, as compiled files are valid by them."""
    for name in files:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target)
