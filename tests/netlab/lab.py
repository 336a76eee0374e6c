"""Network namespaces joined by the router, made and removed by a test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.netlab.router import SiteConfig

ROOT = Path(__file__).resolve().parents[2]


def unavailable() -> str | None:
    """Why no lab can be built here, or None."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if shutil.which("ip") is None:
        return "needs the program `ip` (package iproute2)"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"needs /dev/net/tun: {error.strerror}"
    probe = f"tsn{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return None


@contextlib.contextmanager
def lab(*sites: SiteConfig) -> Iterator[dict[str, int]]:
    """Namespaces with the sites' names, for the time of a with block; after it, the bytes of packets each has sent."""
    made: list[str] = []
    sent: dict[str, int] = {}
    try:
        for site in sites:
            subprocess.run(["ip", "netns", "add", site.namespace], check=True)
            made.append(site.namespace)
            subprocess.run(["ip", "-n", site.namespace, "link", "set", "lo", "up"], check=True)
        argument = json.dumps([asdict(site) for site in sites])
        with subprocess.Popen(
            [sys.executable, "-m", "tests.netlab.router", argument], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as router:
            try:
                assert router.stdout is not None
                assert router.stdout.readline() == "READY\n"
                yield sent
            finally:
                router.terminate()
                sent.update(json.loads(router.communicate(timeout=20)[0] or "{}"))
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def inside(namespace: str | None, *arguments: str) -> list[str]:
    """A command line that runs Python in a namespace, or here for None."""
    prefix = [] if namespace is None else ["ip", "netns", "exec", namespace]
    return [*prefix, sys.executable, *arguments]
