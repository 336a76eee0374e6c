"""The process that runs tests once, forked from a worker that has imported what is heavy."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.mutation.plugin import Chosen, Tell
from tests.mutation.targets import MARKER, PACKAGES

PLUGINS = ("_hypothesis_pytestplugin",)


def teller(descriptor: int) -> Tell:
    """Return a function that writes events to a pipe."""

    def tell(event: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(event).encode() + b"\n")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return tell


def become(copy: Path, scratch: Path) -> None:
    """Turn this process into one that lives in a copy of the tree."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(os.devnull) as nothing, (scratch / "output").open("w") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    for name, folder in (("TMPDIR", "tmp"), ("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state")):
        (scratch / folder).mkdir()
        os.environ[name] = str(scratch / folder)
    os.chdir(copy)
    for module in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[module]
    root = Path(__file__).resolve().parents[2]
    elsewhere = [path for path in sys.path if path and Path(path).resolve() not in (root, copy)]
    sys.path[:] = [str(copy), *elsewhere]
    importlib.invalidate_caches()


def run(copy: Path, scratch: Path, files: list[str], plugin: Chosen, stop_early: bool) -> NoReturn:
    """Run the tests of these files that the plugin lets through, and end the process."""
    code = 3
    try:
        become(copy, scratch)
        options = ["-q", "-m", MARKER, "-p", "no:cacheprovider", f"--basetemp={scratch / 'base'}", "--tb=short"]
        options += [f"--rootdir={copy}", *(["-x"] if stop_early else [])]
        others = [importlib.import_module(name) for name in PLUGINS]  # as objects: pytest need not rewrite them
        code = int(pytest.main([*options, *files], plugins=[plugin, *others]))
    except BaseException as error:
        os.write(2, repr(error).encode())
    finally:
        os._exit(code)
