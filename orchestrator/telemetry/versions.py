"""Which software made a result, read from package metadata; nothing heavy is imported for it."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("tessera", "torch", "ray", "deepspeed", "numpy", "wandb", "rich", "omegaconf", "msgpack", "cryptography")


def versions() -> dict[str, str | None]:
    """Version by name, with `python` and `platform`; None for a package that is not installed."""
    return {"python": platform.python_version(), "platform": platform.platform()} | {
        name: _version(name) for name in PACKAGES
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
