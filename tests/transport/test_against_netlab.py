"""Is a shaped link like a real line? What a line carries for a message is counted in packets of the router of netlab.

What it takes a shaped link to send a message is a matter of arithmetic and held in virtual time elsewhere. The one
figure of it that only a real network can tell is `OVERHEAD`: bytes on the wire for each byte of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from actors.transport.base import Peer
from actors.transport.identity import Owner
from actors.transport.shaping import OVERHEAD
from tests.netlab.lab import ROOT, inside, lab, unavailable
from tests.netlab.router import SiteConfig
from tests.transport.helpers import figure, invite

WHY_NOT = unavailable()
MBPS = 10_000.0
"""No queue of the router is ever full, so nothing is lost and sent again."""
SIZES = [1 << 20, 4 << 20, 8 << 20]


@contextlib.contextmanager
def answering(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, cwd=ROOT) as child:
        try:
            yield
        finally:
            child.kill()


def exchange(folder: Path, addresses: list[str], namespaces: list[str]) -> dict[str, int]:
    """Bytes of frames that each of two processes sent."""
    owner = Owner.load_or_create(folder / "owner")
    peers = [
        Peer(invite(owner, folder, name).peer_id, name, address)
        for name, address in zip(("ann", "bob"), addresses, strict=True)
    ]
    commands = []
    for me, other, namespace, sizes in zip(peers, reversed(peers), namespaces, (SIZES, []), strict=True):
        config = {"folder": str(folder), "name": me.name, "address": me.address, "other": asdict(other), "sizes": sizes}
        commands.append(inside(namespace, "-m", "tests.netlab.peer", json.dumps(config)))
    with answering(commands[1]):
        done = subprocess.run(commands[0], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    sent: dict[str, int] = json.loads(done.stdout)
    return sent


@pytest.mark.skipif(WHY_NOT is not None, reason=f"netlab: {WHY_NOT}")
def test_a_shaped_link_charges_the_bytes_that_packets_have_on_a_real_line(tmp_path: Path) -> None:
    tag = f"tsn{os.getpid() % 100000}"
    sites = [
        SiteConfig(name, f"{tag}-{name}", f"10.77.7.{index}", MBPS, MBPS, 0.0)
        for index, name in enumerate(("ann", "bob"), start=1)
    ]
    with lab(*sites) as packets:
        frames = exchange(tmp_path, [f"{site.address}:7000" for site in sites], [site.namespace for site in sites])
    assert frames["ann"] > sum(SIZES)
    ratio = packets["ann"] / frames["ann"]
    figure(
        f"{frames['ann']} bytes of frames, {packets['ann']} of packets: {ratio:.4f}; answers: {packets['bob']} bytes"
    )
    assert OVERHEAD - 0.01 < ratio < OVERHEAD + 0.02
    assert packets["bob"] < 0.05 * packets["ann"], "acknowledgements"
