"""Is a shaped link like a real line of the same rate and delay? Compared with packets through the router of netlab."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from actors.transport.base import Peer
from actors.transport.identity import Owner
from actors.transport.shaping import Shape
from tests.netlab.lab import ROOT, inside, lab, unavailable
from tests.netlab.router import SiteConfig
from tests.transport.helpers import figure, invite

WHY_NOT = unavailable()
MBPS, ONE_WAY_MS = 80.0, 20.0
SIZES = [0, 1 << 20, 8 << 20]
REPEATS = 3


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def answering(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, cwd=ROOT) as child:
        try:
            yield
        finally:
            child.kill()


def measure(folder: Path, addresses: list[str], namespaces: list[str | None], shape: Shape | None) -> dict[int, float]:
    """Median seconds by size between two processes."""
    owner = Owner.load_or_create(folder / "owner")
    peers = [
        Peer(invite(owner, folder, name).peer_id, name, address)
        for name, address in zip(("ann", "bob"), addresses, strict=True)
    ]
    commands = []
    for me, other, namespace, sizes in zip(peers, reversed(peers), namespaces, (SIZES, []), strict=True):
        config = {
            "folder": str(folder),
            "name": me.name,
            "address": me.address,
            "other": asdict(other),
            "shape": asdict(shape) if shape else None,
            "sizes": sizes,
            "repeats": REPEATS,
        }
        commands.append(inside(namespace, "-m", "tests.netlab.peer", json.dumps(config)))
    with answering(commands[1]):
        done = subprocess.run(commands[0], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=50)
    return {int(size): statistics.median(taken) for size, taken in json.loads(done.stdout).items()}


@pytest.mark.skipif(WHY_NOT is not None, reason=f"netlab: {WHY_NOT}")
def test_shaped_links_take_as_long_as_packets_over_the_same_line(tmp_path: Path) -> None:
    tag = f"tsn{os.getpid() % 100000}"
    sites = [
        SiteConfig(name, f"{tag}-{name}", f"10.77.7.{index}", MBPS, MBPS, ONE_WAY_MS / 2)
        for index, name in enumerate(("ann", "bob"), start=1)
    ]
    with lab(*sites):
        addresses = [f"{site.address}:7000" for site in sites]
        real = measure(tmp_path / "real", addresses, [site.namespace for site in sites], None)
    shape = Shape(MBPS, MBPS, ONE_WAY_MS)
    shaped = measure(tmp_path / "shaped", [free_address(), free_address()], [None, None], shape)
    for size in SIZES:
        ratio = shaped[size] / real[size]
        figure(f"{size} bytes: shaped {shaped[size]:.4f} s, packets {real[size]:.4f} s, ratio {ratio:.3f}")
    for size in SIZES:
        assert 0.75 < shaped[size] / real[size] < 1.25
