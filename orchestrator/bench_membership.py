"""`scripts/bench membership`: a mesh of real processes on loopback, or a simulated one; see docs/membership.md."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from orchestrator import bench_serf
from orchestrator.mesh_lab import Member, MeshLab, freeze, thaw

PATIENCE_S = 60.0
SETTLE_S = 10.0
PAUSE_S = 3.0
IN_NAMESPACE = "TESSERA_BENCH_NETNS"


def options(parser: argparse.ArgumentParser) -> None:
    """What this benchmark can be asked."""
    parser.add_argument("--nodes", type=int, default=16, help="members of the mesh")
    parser.add_argument("--kill", type=int, default=1, help="members that are killed at once")
    parser.add_argument("--profile", default="", help="network profile; lan, and wan for --simulate")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the run with pauses")
    parser.add_argument("--simulate", action="store_true", help="in virtual time")
    parser.add_argument("--cut", type=float, default=0.0, metavar="SECONDS", help="only cut the mesh in halves so long")
    parser.add_argument("--serf", action="store_true", help="measure Serf agents instead, as a yardstick")
    parser.add_argument("--seed", type=int, default=1)


def run(given: argparse.Namespace) -> dict[str, float]:
    """Measure. A real mesh gets a network namespace where that is allowed: all bytes on loopback are its own."""
    if given.simulate:
        from orchestrator.bench_simulated import simulated

        return simulated(given.nodes, given.profile or "wan", given.seed, given.kill)
    if not os.environ.get(IN_NAMESPACE) and _may_unshare():
        return _in_namespace(given)
    if given.serf:
        return bench_serf.measure(given.nodes, given.kill, given.profile or "lan", given.repeats, _loopback)
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        if given.cut:
            return cut_in_halves(Path(folder), given.nodes, given.profile or "lan", given.cut)
        return measure(Path(folder), given.nodes, given.kill, given.profile or "lan", given.seconds, given.repeats)


def _may_unshare() -> bool:
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0


def _in_namespace(given: argparse.Namespace) -> dict[str, float]:
    import json

    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        inner = [sys.executable, "-m", "orchestrator.bench", "membership", "--json", file.name]
        for name in ("nodes", "kill", "seconds", "seed", "repeats", "cut"):
            inner += [f"--{name}", str(getattr(given, name))]
        inner += ["--profile", given.profile] if given.profile else []
        inner += ["--serf"] if given.serf else []
        command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner]
        environment = {**os.environ, IN_NAMESPACE: "1"}
        done = subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"the benchmark failed with {done.returncode}")
        figures: dict[str, float] = json.loads(Path(file.name).read_text())["figures"]
        return figures


def measure(folder: Path, nodes: int, kill: int, profile: str, seconds: float, repeats: int) -> dict[str, float]:
    """All figures of a mesh of real processes."""
    names = [f"n{number:02}" for number in range(nodes)]
    with MeshLab(folder, profile) as lab:
        _say(f"forming a mesh of {nodes}")
        lab.form(names)
        joins, kills, freezes = [], [], []
        for repeat in range(repeats):
            _say(f"repetition {repeat + 1} of {repeats}: kill, join, freeze")
            victims = random.Random(repeat).sample(names, kill)
            kills.append(_kill(lab, victims))
            joins.append(_come_back(lab, victims))
            freezes.append(_freeze(lab, random.Random(100 + repeat).choice(names)))
        idle = _idle_bytes(lab, nodes)
        _say(f"{seconds:.0f} s with all processors oversubscribed and pauses of {PAUSE_S:.0f} s")
        false_deaths, pauses = _stress(lab, names, seconds)
    return {
        "killed_detected_by_all_s": median(kills),
        "killed_detected_by_all_s_max": max(kills),
        "frozen_detected_by_all_s": median(freezes),
        "frozen_detected_by_all_s_max": max(freezes),
        "join_s": median(joins),
        "join_s_max": max(joins),
        "idle_bytes_per_s_per_node": idle,
        "false_deaths": false_deaths,
        "pauses": pauses,
    }


def cut_in_halves(folder: Path, nodes: int, profile: str, seconds: float) -> dict[str, float]:
    """Cut a mesh in two, kill its founder meanwhile, heal it."""
    names = [f"n{number:02}" for number in range(nodes)]
    with MeshLab(folder, profile) as lab:
        _say(f"forming a mesh of {nodes}")
        lab.form(names)
        time.sleep(SETTLE_S)
        one, other = lab.alive[: nodes // 2], lab.alive[nodes // 2 :]
        _say(f"cut for {seconds:.0f} s; the founder is killed meanwhile")
        since = lab.cut(one, other)

        def noted() -> list[float | None]:
            return [member.noted("partition", since) for member in lab.alive]

        lab.wait(lambda: all(noted()), PATIENCE_S, "a partition note on both sides")
        seen = max(stamp for stamp in noted() if stamp is not None) - since
        one[0].process.kill()
        time.sleep(max(0.0, seconds - (time.monotonic() - since)))
        lab.agree(one[1:], PATIENCE_S)
        lab.agree(other, PATIENCE_S)
        healed = lab.heal()
        merged = lab.agree(one[1:] + other, PATIENCE_S) - healed
    return {"partition_seen_by_all_s": seen, "merged_after_heal_s": merged}


def _kill(lab: MeshLab, victims: list[str]) -> float:
    time.sleep(SETTLE_S)
    since = time.monotonic()
    for victim in victims:
        lab.members[victim].process.kill()
    return lab.dead_for_all(victims, since, PATIENCE_S)


def _come_back(lab: MeshLab, names: list[str]) -> float:
    """Join again; seconds from the order until every member has everyone in its view."""
    others = [member.name for member in lab.alive]
    started = lab.start(names)
    door = lab.members[others[0]].address
    since = time.monotonic()
    for member in started:
        member.order("join", addresses=[door])

    def known() -> bool:
        return all(_seen(lab.members[other], name, since) for other in others for name in names) and all(
            _seen(member, other, since) for member in started for other in others
        )

    lab.wait(known, PATIENCE_S, "the joiners to be known by all")
    stamps = [_seen(lab.members[other], name, since) for other in others for name in names]
    stamps += [_seen(member, other, since) for member in started for other in others]
    lab.agree(lab.alive, PATIENCE_S)
    return max(stamp for stamp in stamps if stamp is not None) - since


def _seen(member: Member, name: str, since: float) -> float | None:
    stamps = [stamp for what in ("joined", "back", "updated") if (stamp := member.when(name, what, since))]
    return min(stamps, default=None)


def _freeze(lab: MeshLab, victim: str) -> float:
    time.sleep(SETTLE_S)
    since = freeze(lab.members[victim])
    try:
        return lab.dead_for_all([victim], since, PATIENCE_S)
    finally:
        thaw(lab.members[victim])
        lab.agree(lab.alive, PATIENCE_S)


def _idle_bytes(lab: MeshLab, nodes: int, seconds: float = 60.0) -> float:
    """All bytes over loopback, headers and acknowledgements included, each counted once."""
    _say(f"idle for {seconds:.0f} s")
    time.sleep(SETTLE_S)
    before, began = _loopback(), time.monotonic()
    time.sleep(seconds)
    return (_loopback() - before) / (time.monotonic() - began) / nodes


def _loopback() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    raise SystemExit("no loopback interface")


def _stress(lab: MeshLab, names: list[str], seconds: float) -> tuple[int, int]:
    """Busy processes, twice as many as processors, and members stopped for 3 s in turn; (false deaths, pauses)."""
    rng = random.Random(5)
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * len(os.sched_getaffinity(0)))
    ]
    since, pauses = time.monotonic(), 0
    try:
        while time.monotonic() - since < seconds:
            victim = lab.members[rng.choice(names)]
            freeze(victim)
            time.sleep(PAUSE_S)
            thaw(victim)
            pauses += 1
            time.sleep(rng.uniform(0.5, 3.0))
        time.sleep(SETTLE_S)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    lab.agree(lab.alive, PATIENCE_S)
    return len({dead for _, dead in lab.deaths(since)}), pauses


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
