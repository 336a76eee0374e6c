"""What parameters were ever constructed in this process.

A hook on torch's parameter registration sees every one, whoever makes it; so a test can show that a participant's
process never held another stage.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

_seen: dict[tuple[int, str], tuple[str, tuple[int, ...]]] = {}
_installed: list[Any] = []


def install() -> None:
    """Begin to record; call before anything is built."""
    if not _installed:
        _installed.append(torch_module.register_module_parameter_registration_hook(_record))


def _record(owner: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
    if parameter is not None:
        _seen[(id(owner), name)] = (f"{type(owner).__name__}.{name}", tuple(parameter.shape))


def constructed_elements() -> int:
    """Return the elements of all parameters that modules of this process ever registered (each slot once)."""
    total = 0
    for _, shape in _seen.values():
        size = 1
        for dim in shape:
            size *= dim
        total += size
    return total


def reset() -> None:
    """Forget what was recorded."""
    _seen.clear()
