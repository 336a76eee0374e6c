"""Engines of one rank live in the test process itself: DeepSpeed is imported once for all of them."""

from __future__ import annotations

from tests.sharding.engines import one_rank

__all__ = ["one_rank"]
