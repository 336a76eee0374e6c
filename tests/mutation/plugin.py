"""The part of pytest that a worker brings along: which tests, in which order, and what is told of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.mutation.clock import Clock
from tests.mutation.hits import Memory
from tests.mutation.targets import PACKAGES

Tell = Callable[[dict[str, Any]], None]


class Chosen:
    """Runs the chosen tests in the given order, and tells when each begins and which fails."""

    def __init__(self, copy: Path, tests: list[str], tell: Tell) -> None:
        self._copy, self._tell = copy, tell
        self._order = {test: place for place, test in enumerate(tests)}
        functions = [test.split("[")[0] for test in tests]
        self._functions = {name: place for place, name in reversed(list(enumerate(functions)))}

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Know the settings of pytest-timeout, which is not there: a worker has deadlines of its own."""
        parser.addini("timeout", "not used")

    def pytest_configure(self, config: pytest.Config) -> None:
        """Hypothesis tries the same examples each time, and remembers none."""
        config.addinivalue_line("markers", "timeout: not used")
        hypothesis.settings.register_profile(
            "mutants",
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what was chosen. A case that exists with the mistake only is run with its function."""
        if not self._order:
            return
        known = {item.nodeid for item in items} & self._order.keys()
        gone = {test.split("[")[0] for test in self._order.keys() - known}
        wanted = [item for item in items if item.nodeid in known or item.nodeid.split("[")[0] in gone]
        items[:] = sorted(wanted, key=lambda item: self._place(item.nodeid))

    def _place(self, test: str) -> tuple[int, str]:
        return self._order.get(test, self._functions.get(test.split("[")[0], len(self._order))), test

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell, so that a test that takes too long is known."""
        self._tell({"event": "start", "test": nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of files that cannot be imported."""
        if report.failed:
            self._tell({"event": "failed", "test": report.nodeid, "why": str(report.longrepr).strip()[-300:]})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what failed, and why in a line."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = (crash.message if crash else str(report.longrepr)).strip()
            self._tell({"event": "failed", "test": report.nodeid, "why": why.splitlines()[0][:300] if why else ""})

    def pytest_sessionfinish(self) -> None:
        """Tell of modules that were imported from elsewhere than the copy."""
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if name.split(".")[0] in PACKAGES and path and not Path(path).resolve().is_relative_to(self._copy):
                self._tell({"event": "alien", "test": name, "why": path})


class Mapping(Chosen):
    """Runs whole files, and tells which statements each test reached."""

    def __init__(self, copy: Path, tell: Tell, memory: Memory) -> None:
        super().__init__(copy, [], tell)
        self._memory = memory
        self._wide: dict[int, tuple[str, set[int], float]] = {}
        """Fixtures that several tests share: name, what making them reached, and how long it took."""
        self._kept: set[int] = set()
        self._outcome = "passed"

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, object, object]:
        """What a shared fixture reaches counts for every test that uses it."""
        if fixturedef.scope == "function":
            return (yield)
        before, clock = self._memory.take(), Clock()
        try:
            return (yield)
        finally:
            name = f"{fixturedef.baseid}::{fixturedef.argname}[{request.param_index}]"
            self._wide[id(fixturedef)] = name, self._memory.take(), clock.seconds()
            self._kept |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, object, object]:
        """Tell what one test reached, how long it took, and how long the fixtures that it shares."""
        self._memory.take()
        self._kept.clear()
        self._outcome = "passed"
        before, clock = dict(self._wide), Clock()
        try:
            return (yield)
        finally:
            seconds = clock.seconds()
            numbers = self._memory.take() | self._kept
            used = {id(each) for found in item._fixtureinfo.name2fixturedefs.values() for each in found}
            shared = {}
            for fixture in used & self._wide.keys():
                name, reached, taken = self._wide[fixture]
                shared[name] = taken
                numbers |= reached
                if before.get(fixture) is not self._wide[fixture]:  # it was made for this test
                    seconds -= taken
            event = {"event": "test", "test": item.nodeid, "outcome": self._outcome, "seconds": max(0.0, seconds)}
            self._tell({**event, "shared": shared, "numbers": sorted(numbers)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        super().pytest_runtest_logreport(report)
        if report.failed:
            self._outcome = "failed"
        elif report.skipped:
            self._outcome = "skipped"
