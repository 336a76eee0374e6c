"""Plants small mistakes in copies of the tree and counts how many the tests without Ray notice.

    scripts/mutants --seed 1 --count 200

See docs/testing.md.
"""

from __future__ import annotations

import argparse
import compileall
import json
import shutil
import signal
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path

from tests.mutation import copies, equivalent, hits
from tests.mutation.choice import Chooser
from tests.mutation.covering import Covering, Keeper
from tests.mutation.mutant import Mutant
from tests.mutation.points import Point, points
from tests.mutation.pool import ROOT, Link, share
from tests.mutation.report import Report, line
from tests.mutation.sample import drawn
from tests.mutation.source import Source
from tests.mutation.targets import target_files
from tests.mutation.verdict import Verdict, judge

KEPT = Path(".venv/tessera-mutants")


def say(text: str) -> None:
    """Print at once, also into a file."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Run:
    """One run, in a temporary folder."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options, self._folder = options, folder
        self._tree = folder / "tree"
        copies.copy_files(ROOT, copies.project_files(ROOT), self._tree)
        self._targets = target_files(self._tree)
        self._sources = {name: Source(name, (self._tree / name).read_bytes()) for name in self._targets}
        self._points: list[Point] = [point for source in self._sources.values() for point in points(source)]
        self._links: list[Link] = []
        self.mutants: dict[int, Mutant] = {}
        """Number in the sample -> mutant."""
        self.set_aside: list[tuple[Mutant, str]] = []
        self._draw()

    def _draw(self) -> None:
        entries = equivalent.load()
        for entry in equivalent.stale(entries, self._points):
            say(f"equivalent.toml: nothing matches {entry.file} {entry.function} {entry.operator} | {entry.before}")
        wanted = [each for each in self._points if fnmatch(each.source.name, self._options.only)]
        for mutant in drawn(wanted, self._options.seed):
            if len(self.mutants) == self._options.count:
                break
            reason = equivalent.reason(entries, mutant)
            if reason:
                self.set_aside.append((mutant, reason))
            else:
                self.mutants[len(self.mutants) + 1] = mutant
        if self._options.pick:
            self.mutants = {number: self.mutants[number] for number in self._options.pick}

    def test(self) -> Report:
        """Make the map, run the tests against every mutant."""
        begun = time.monotonic()
        compileall.compile_dir(self._tree, quiet=2)
        covering = self._covering()
        chooser = Chooser(covering, self._sources, self._options.budget)
        self._links = self._workers("w")
        self._prove(covering)
        verdicts: dict[int, Verdict] = {}

        def one(link: Link, number: int) -> None:
            mutant = self.mutants[number]
            verdict = verdicts[number] = judge(link, mutant, chooser.choose(mutant))
            say(f"[{len(verdicts):3}/{len(self.mutants)}] #{number} {line(verdict)}")

        share(self._links, self.mutants, one)
        return Report(self._options.seed, dict(sorted(verdicts.items())), self.set_aside, time.monotonic() - begun)

    def _covering(self) -> Covering:
        keeper = Keeper(ROOT / KEPT, self._tree, self._targets)
        files = keeper.needed({mutant.file for mutant in self.mutants.values()})
        missing = keeper.missing(files)
        if missing:
            say(f"{len(missing)} of {len(files)} test files are run once to see which statements they reach")
            self._links = self._workers("m", marked=True)
            keeper.make(self._links, missing, self._places, say)
            self.close()
        covering = keeper.covering(files)
        for test in covering.broken:
            say(f"left out, as it fails without a mistake: {test}")
        return covering

    def _workers(self, prefix: str, marked: bool = False) -> list[Link]:
        links = []
        for number in range(self._options.jobs):
            copy = self._folder / f"{prefix}{number}" / "tree"
            shutil.copytree(self._tree, copy)
            if marked:
                self._places = hits.prepare(copy, self._targets)
            links.append(Link(copy))
        return links

    def _prove(self, covering: Covering) -> None:
        """See that every worker imports its own copy: an error in a file must be noticed by a test that reaches it."""
        reaching = [(covering.tests[names[0]], file) for (file, _), names in covering.by_line.items()]
        if not reaching:
            return
        test, file = min(reaching, key=lambda each: (each[0].seconds, each[0].name))
        text = self._sources[file].data.decode()
        for link in self._links:
            for error, expected in (("", 0), ("\nraise RuntimeError('planted')\n", None)):
                answer = link.ask({"do": "run", "file": file, "text": text + error, "tests": [[test.name, 60.0]]})
                if (answer["code"] == 0) != (expected == 0):
                    raise RuntimeError(f"{test.name} does not see what is planted in {file}: {answer}")

    def close(self) -> None:
        """End all workers."""
        for link in self._links:
            link.close()
        self._links = []


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="draws another sample")
    parser.add_argument("--count", type=int, default=200, help="mutants, without those that are set aside")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    parser.add_argument("--only", default="*", metavar="GLOB", help="files to draw from, as in 'actors/steps/*'")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for one mutant")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    parser.add_argument("--show", type=int, metavar="N", help="print the difference of mutant N and run nothing")
    parser.add_argument("--pick", type=int, nargs="+", metavar="N", help="run only these of the sample")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write everything there")
    return parser.parse_args(arguments)


def main() -> int:
    """Draw, run, report."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    folder = Path(tempfile.mkdtemp(prefix=copies.FOLDER)).resolve()
    run = None
    try:
        run = Run(options, folder)
        if options.show is not None:
            say(run.mutants[options.show].diff())
        elif options.list:
            for number, mutant in run.mutants.items():
                say(f"#{number} {mutant}")
        else:
            report = run.test()
            say("\n" + report.text())
            if options.json is not None:
                options.json.write_text(json.dumps(report.json(), indent=1) + "\n")
        return 0
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    finally:
        if run is not None:
            run.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
