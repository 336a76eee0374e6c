"""Real engines of one rank live in the test process itself."""

from __future__ import annotations

from tests.sharding.engines import one_rank

__all__ = ["one_rank"]
