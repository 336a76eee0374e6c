"""A small internet in one process: packets between sites pass their rates, delays and bounded queues.

    python -m tests.netlab.router '[{"name": ..., "namespace": ..., "address": ..., "up_mbps": ..., ...}, ...]'

Each site is a network namespace with one TUN device, `wan`. A packet waits for its sender's uplink, travels for both
sites' delays, waits for the receiver's downlink, and is dropped where a queue is longer than 100 ms. The process says
READY when the devices are there, ends at SIGTERM, and then says how many bytes of packets each site sent. For machines
whose kernel has no netem; needs root.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

QUEUE_S = 0.1
_SET_NAME = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001


@dataclass(frozen=True)
class SiteConfig:
    """One place on the small internet."""

    name: str
    namespace: str
    address: str
    """IPv4; all sites share a /24."""
    up_mbps: float
    """10**6 bit/s of IP packets."""
    down_mbps: float
    delay_ms: float
    """One way, charged to everything that leaves or reaches the site."""


@dataclass
class Queue:
    """One direction of a site's line."""

    mbps: float
    free_at: float = 0.0

    def passes(self, at: float, nbytes: int) -> float | None:
        """When a packet that comes at that time has passed; None when the queue is full."""
        start = max(at, self.free_at)
        if start - at > QUEUE_S:
            return None
        self.free_at = start + nbytes * 8 / (self.mbps * 1e6)
        return self.free_at


class Site:
    """A site's device and queues."""

    def __init__(self, config: SiteConfig, index: int) -> None:
        self.config = config
        self.up, self.down = Queue(config.up_mbps), Queue(config.down_mbps)
        self.sent_bytes = 0
        self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        name = f"tsn{os.getpid() % 100000}-{index}"
        fcntl.ioctl(self.device, _SET_NAME, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
        # a TUN device keeps its file when it moves to another namespace
        _ip("link", "set", name, "netns", config.namespace)
        inside = ("-n", config.namespace)
        _ip(*inside, "link", "set", name, "name", "wan")
        _ip(*inside, "addr", "add", f"{config.address}/24", "dev", "wan")
        _ip(*inside, "link", "set", "wan", "up", "txqueuelen", "2000")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


class Router:
    """Moves packets between sites."""

    def __init__(self, sites: list[Site]) -> None:
        self._by_address = {socket.inet_aton(site.config.address): site for site in sites}
        self._selector = selectors.DefaultSelector()
        for site in sites:
            self._selector.register(site.device, selectors.EVENT_READ, site)
        self._flying: list[tuple[float, int, Site, bytes]] = []
        self._count = 0
        self.running = True

    def run(self) -> None:
        """Until `running` is cleared."""
        while self.running:
            self._land()
            wait = max(0.0, self._flying[0][0] - time.monotonic()) if self._flying else 0.2
            for key, _ in self._selector.select(wait):
                self._take(key.data)

    def _land(self) -> None:
        now = time.monotonic()
        while self._flying and self._flying[0][0] <= now:
            _, _, site, packet = heapq.heappop(self._flying)
            try:
                os.write(site.device, packet)
            except OSError:
                continue  # a full device queue loses packets, as real ones do

    def _take(self, sender: Site) -> None:
        for _ in range(64):
            try:
                packet = os.read(sender.device, 65536)
            except BlockingIOError:
                return
            receiver = self._by_address.get(packet[16:20]) if packet[0] >> 4 == 4 else None
            if receiver is not None:
                self._forward(sender, receiver, packet)

    def _forward(self, sender: Site, receiver: Site, packet: bytes) -> None:
        sender.sent_bytes += len(packet)
        left = sender.up.passes(time.monotonic(), len(packet))
        if left is None:
            return
        there = receiver.down.passes(left + (sender.config.delay_ms + receiver.config.delay_ms) / 1e3, len(packet))
        if there is not None:
            self._count += 1
            heapq.heappush(self._flying, (there, self._count, receiver, packet))


def main() -> None:
    """Route until SIGTERM."""
    configs = [SiteConfig(**each) for each in json.loads(sys.argv[1])]
    sites = [Site(config, index) for index, config in enumerate(configs)]
    router = Router(sites)

    def stop(*_: object) -> None:
        router.running = False

    signal.signal(signal.SIGTERM, stop)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    router.run()
    sys.stdout.write(json.dumps({site.config.name: site.sent_bytes for site in sites}) + "\n")


if __name__ == "__main__":
    main()
