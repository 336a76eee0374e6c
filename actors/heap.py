"""Giving freed memory back to the system.

A participant's process allocates and frees buffers of all sizes for days; glibc keeps what it frees, in pieces, and
with every disturbance a little more of it: 34 MB over a hundred failures were measured, of which Python held none.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

TRIM_S = 20.0
"""Often enough that little gathers; it takes a millisecond."""


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # no C library that can be asked
        return None
    return found


def give_back() -> bool:
    """Return free pages to the system; False where the C library cannot do it (it is not glibc)."""
    trim = _trim()
    if trim is not None:
        trim(0)
    return trim is not None
