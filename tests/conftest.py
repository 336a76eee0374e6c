"""For all tests: what must be so before anything is imported."""

from __future__ import annotations

import pytest
from hypothesis import settings

from orchestrator.ray_keeper import use_token

FIRST = ("integration/test_grid", "steps/test_worlds", "integration/test_joint", "checkpoint/test_crash")
"""Files that take long: they begin first, so that two processes end at nearly the same time."""

settings.register_profile("tests", deadline=None)  # no test asserts a time
settings.load_profile("tests")
use_token()  # Ray reads its token when it is imported, and some test modules import it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first; the order within a file stays."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(FIRST) if name in item.nodeid), len(FIRST))

    items.sort(key=rank)
