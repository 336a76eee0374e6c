"""The same measurements on a mesh of Serf agents (HashiCorp's memberlist): the yardstick, not a part of Tessera."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from statistics import median

PATIENCE_S = 60.0
SETTLE_S = 10.0
IDLE_S = 60.0
_GOSSIP_PORT, _RPC_PORT = 17946, 18946


class Agent:
    """One `serf agent`, and when it said what about whom."""

    def __init__(self, number: int, profile: str) -> None:
        self.name = f"n{number:02}"
        self.said: dict[tuple[str, str], float] = {}
        """(event, member) -> when it was said last"""
        self._number, self._profile = number, profile
        self._start()

    def _start(self) -> None:
        command = ["serf", "agent", "-node", self.name, "-profile", self._profile, "-log-level", "info"]
        command += ["-bind", f"127.0.0.1:{_GOSSIP_PORT + self._number}"]
        command += ["-rpc-addr", f"127.0.0.1:{_RPC_PORT + self._number}"]
        if self._number:
            command += ["-retry-join", f"127.0.0.1:{_GOSSIP_PORT}", "-retry-interval", "1s"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            _, found, rest = line.partition("serf: EventMember")
            if found:
                event, _, who = rest.partition(": ")
                self.said[event, who.split()[0]] = time.monotonic()

    def again(self) -> None:
        """Start it anew after it was killed."""
        self.process.wait()
        self.said.clear()
        self._start()

    def when(self, event: str, name: str, since: float) -> float | None:
        """When it said so, if that was after `since`."""
        at = self.said.get((event, name))
        return at if at is not None and at >= since else None


def measure(nodes: int, kill: int, profile: str, repeats: int, loopback: Callable[[], int]) -> dict[str, float]:
    """Figures of `nodes` agents; `loopback` counts all bytes on that interface."""
    if shutil.which("serf") is None:
        raise SystemExit("there is no `serf` here: install it (Debian: apt install serf)")
    agents = [Agent(number, profile) for number in range(nodes)]
    try:
        _all_say(agents, "Join", [agent.name for agent in agents], 0.0)
        kills, freezes, joins = [], [], []
        for repeat in range(repeats):
            victims = random.Random(repeat).sample(agents[1:], kill)
            time.sleep(SETTLE_S)
            since = time.monotonic()
            for victim in victims:
                victim.process.kill()
            survivors = [agent for agent in agents if agent not in victims]
            kills.append(_all_say(survivors, "Failed", [victim.name for victim in victims], since))
            since = time.monotonic()
            for victim in victims:
                victim.again()
            joins.append(_all_say(survivors, "Join", [victim.name for victim in victims], since))
            freezes.append(_freeze(agents, random.Random(100 + repeat).choice(agents[1:])))
        time.sleep(SETTLE_S)
        before, began = loopback(), time.monotonic()
        time.sleep(IDLE_S)
        idle = (loopback() - before) / (time.monotonic() - began) / nodes
    finally:
        for agent in agents:
            agent.process.kill()
            agent.process.wait()
    return {
        "serf_killed_detected_by_all_s": median(kills),
        "serf_frozen_detected_by_all_s": median(freezes),
        "serf_join_s": median(joins),
        "serf_idle_bytes_per_s_per_node": idle,
    }


def _freeze(agents: list[Agent], victim: Agent) -> float:
    time.sleep(SETTLE_S)
    since = time.monotonic()
    os.kill(victim.process.pid, signal.SIGSTOP)
    try:
        return _all_say([agent for agent in agents if agent is not victim], "Failed", [victim.name], since)
    finally:
        thawed = time.monotonic()
        os.kill(victim.process.pid, signal.SIGCONT)
        _all_say([agent for agent in agents if agent is not victim], "Join", [victim.name], thawed)


def _all_say(agents: list[Agent], event: str, names: list[str], since: float) -> float:
    """Wait until every agent said that this happened to each of these; returns the seconds it took the last one."""
    until = time.monotonic() + PATIENCE_S
    while True:
        stamps = [agent.when(event, name, since) for agent in agents for name in names]
        if all(stamp is not None for stamp in stamps):
            return max(stamp for stamp in stamps if stamp is not None) - since
        if time.monotonic() > until:
            missing = sum(stamp is None for stamp in stamps)
            raise SystemExit(f"after {PATIENCE_S:.0f} s {missing} agents have not seen {event} of {', '.join(names)}")
        time.sleep(0.02)
