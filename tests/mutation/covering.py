"""The map from statements to the tests that reach them, kept between runs and made again for what has changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.closure import Closures
from tests.mutation.hits import Places
from tests.mutation.pool import Link, share
from tests.mutation.targets import SEEDS, WITHOUT

FORMAT = "2"
"""Another one makes all maps anew."""


@dataclass(frozen=True)
class KnownTest:
    """A test as it ran without a mistake."""

    name: str
    seconds: float
    outcome: str
    shared: tuple[tuple[str, float], ...] = ()
    """Fixtures that other tests use too, and how long making them takes."""

    @property
    def file(self) -> str:
        return self.name.split("::")[0]

    @property
    def alone(self) -> float:
        """Seconds when no other test is run."""
        return self.seconds + sum(seconds for _, seconds in self.shared)


@dataclass
class Covering:
    """All tests, and which of them reach a statement."""

    tests: dict[str, KnownTest] = field(default_factory=dict)
    by_line: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    imports: dict[str, set[str]] = field(default_factory=dict)
    """Test file -> all files it depends on."""
    broken: list[str] = field(default_factory=list)
    """Tests that fail without any mistake, and test files that cannot be imported."""

    def add(self, held: dict[str, Any], imports: list[str]) -> None:
        """Take what is known of one test file."""
        self.imports[held["file"]] = set(imports)
        self.broken += held["broken"]
        for entry in held["tests"]:
            test = KnownTest(entry["test"], entry["seconds"], entry["outcome"], tuple(entry["shared"].items()))
            if test.outcome == "passed":
                self.tests[test.name] = test
                for file, lines in entry["reached"].items():
                    for line in lines:
                        self.by_line[file, line].append(test.name)

    def reaching(self, file: str, lines: set[int] | None = None) -> set[str]:
        """Return the tests that reach any of some statements of a file, by default any of it."""
        wanted = (line for name, line in list(self.by_line) if name == file) if lines is None else lines
        return {test for line in wanted for test in self.by_line.get((file, line), ())}

    def importing(self, file: str) -> set[str]:
        """Return the tests of files that depend on a file."""
        return {name for name, test in self.tests.items() if file in self.imports[test.file]}


class Keeper:
    """Parts of the map on disk, one for each test file, valid as long as nothing that it depends on is changed."""

    def __init__(self, folder: Path, tree: Path, targets: list[str]) -> None:
        self._folder = folder
        self._targets = set(targets)
        self._closures = Closures(tree)
        self.files = [
            name
            for path in sorted(tree.glob("tests/**/test_*.py"))
            if not any((relative := path.relative_to(tree)).match(one) for one in WITHOUT)
            for name in [str(relative)]
        ]

    def needed(self, mutated: set[str]) -> list[str]:
        """Return the test files that depend on any of these files."""
        return [file for file in self.files if mutated & set(self._closures.of(file))]

    def missing(self, files: list[str]) -> list[str]:
        """Return those of which nothing valid is held, what took longest first."""
        held = {file: self._read(file) or {"key": "", "tests": []} for file in files}
        missing = [file for file in files if held[file]["key"] != self._key(file)]
        return sorted(missing, key=lambda file: -sum(test["seconds"] for test in held[file]["tests"]))

    def make(self, links: list[Link], files: list[str], places: Places, tell: Callable[[str], None]) -> None:
        """Run test files where statements are marked, and keep what they reach."""
        done = 0

        def one(link: Link, file: str) -> None:
            nonlocal done
            answer = link.ask({"do": "map", "file": file})
            held = self._held(file, answer, places)
            self._write(file, held)
            done += 1
            tell(f"map {done}/{len(files)}  {file}: {len(held['tests'])} tests in {answer['seconds']:.1f} s")

        share(links, files, one)

    def covering(self, files: list[str]) -> Covering:
        """Return the whole map."""
        found = Covering()
        for file in files:
            held = self._read(file)
            if held is not None:
                found.add(held, self._closures.of(file))
        return found

    def _held(self, file: str, answer: dict[str, Any], places: Places) -> dict[str, Any]:
        tests, broken = [], []
        for event in answer["events"]:
            if event["event"] == "test":
                reached = places.named(set(event["numbers"]))
                kept = {key: event[key] for key in ("test", "seconds", "outcome", "shared")}
                tests.append({**kept, "reached": reached})
            elif event["event"] == "alien":
                raise RuntimeError(f"{file} imports {event['test']} from {event['why']}, not from the copy")
            else:
                broken.append(f"{event['test']}: {event['why']}")
        if answer["how"] != "ended" or answer["code"] not in (0, 1, 5):
            why = answer["output"].strip()[-300:]
            broken.append(f"{file} {answer['how']} with {answer['code']} at {answer['test']}: {why}")
        key = "" if broken else self._key(file)  # what went wrong is tried again next time
        return {"file": file, "key": key, "tests": tests, "broken": broken}

    def _key(self, file: str) -> str:
        marked = sorted(self._targets & set(self._closures.of(file)))
        return self._closures.key(file, FORMAT, json.dumps(SEEDS), *marked)

    def _path(self, file: str) -> Path:
        return self._folder / (file.replace("/", ".") + ".json")

    def _read(self, file: str) -> dict[str, Any] | None:
        try:
            held: dict[str, Any] = json.loads(self._path(file).read_text())
        except (OSError, ValueError):
            return None
        return held

    def _write(self, file: str, held: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._path(file).with_suffix(".tmp")
        temporary.write_text(json.dumps(held))
        temporary.replace(self._path(file))
