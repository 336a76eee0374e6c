"""What can happen to the homes of a world."""

from __future__ import annotations

from functools import partial

from orchestrator.simulation.faults import Fault
from orchestrator.simulation.network import Quality
from orchestrator.simulation.runtime.home import Home
from orchestrator.simulation.runtime.world import RuntimeWorld


def begin(world: RuntimeWorld, fault: Fault) -> None:
    """Let a fault happen now.

    Kinds are those of `orchestrator.simulation.faults`, with `between`: a process dies in the middle of an event, after
    `value` of its effects; `wipe`: a process dies with its disk; `pair`: two that cannot reach each other; `shard` and
    `shard-pause`; `arrive`. For `crash`, `dark` and `wipe`, `value` says by how many seconds the machine's clock is
    wrong from then on.
    """
    world.reached[fault.kind] += 1
    known = {home.name: home for home in world.homes.values()}
    who = [known[name] for name in fault.who if name in known]
    match fault.kind:
        case "arrive":
            world.arrive(fault.who[0])
        case "crash" | "dark" | "wipe":
            world.crash(who[0], machine=fault.kind == "dark")
            _back(world, who[0], fault)
        case "between":
            back = Fault(fault.at, fault.kind, fault.who, fault.seconds)
            who[0].dies_after, who[0].dies_then = int(fault.value) or 1, partial(_back, world, who[0], back)
        case "pause":
            world.pause(who[0], fault.seconds)
        case "cut" | "one-way" | "pair":
            _cut(world, who, fault)
        case "loss":
            _lose(world, fault)
        case "shard":
            if who[0].up and who[0].shards is not None:
                who[0].inside(who[0].shards.die)
        case "shard-pause":
            if who[0].up and who[0].shards is not None:
                who[0].inside(who[0].shards.pause, fault.seconds)
        case "slow":
            if who[0].up and who[0].shards is not None:
                who[0].inside(who[0].shards.slow_down, fault.value, fault.seconds)
        case "leave":
            if who[0].up and who[0].node is not None:
                who[0].inside(who[0].node.leave, "enough")
        case _:
            raise ValueError(f"there is no fault {fault.kind!r} in this world")


def _back(world: RuntimeWorld, home: Home, fault: Fault) -> None:
    if fault.seconds:
        world.kernel.after(fault.seconds, _restart, world, home, fault)


def _restart(world: RuntimeWorld, home: Home, fault: Fault) -> None:
    if not world.closed:
        world.restart(home, memory=fault.kind != "wipe", clock_off_s=fault.value)


def _cut(world: RuntimeWorld, who: list[Home], fault: Fault) -> None:
    peers = [home.peer for home in who]
    rest = [peer for peer in world.homes if peer not in peers]
    if fault.kind == "pair":
        peers, rest = peers[:1], peers[1:]
    number = world.network.cut(peers, rest, both=fault.kind != "one-way")
    world.changed()

    def heal() -> None:
        world.network.heal(number)
        if not world.closed:
            world.changed()

    world.kernel.after(fault.seconds, heal)


def _lose(world: RuntimeWorld, fault: Fault) -> None:
    usual = world.network.quality
    world.network.quality = Quality(usual.delay_s, usual.jitter_s, fault.value, 0.1, 0.2)

    def calm() -> None:
        world.network.quality = Quality(usual.delay_s, usual.jitter_s)

    world.kernel.after(fault.seconds, calm)
